//! Where things go: BuildKit's rules for destinations, and what may stand over what.

use std::collections::HashMap;
use std::fs::File;

use graph::{Copy, ModeChange, Owner, Unpack};
use layer::{Entry, Kind};

use super::draft::{Content, Draft, NewDir, Planned, join, shown};
use super::{FileError, Taken, archive, chmod, is_dir, owner};
use crate::context::Placement;

/// What a copy changes about what it copies.
struct Change<'c> {
    owner: Option<(u32, u32)>,
    keep_owner: bool,
    mode: Option<&'c ModeChange>,
}

impl Change<'_> {
    fn apply(&self, entry: &mut Entry) {
        match self.owner {
            Some(owner) => (entry.uid, entry.gid) = owner,
            None if self.keep_owner => {}
            None => (entry.uid, entry.gid) = (0, 0),
        }
        if let Some(mode) = self.mode
            && entry.kind != Kind::Symlink
        {
            entry.mode = chmod::apply(mode, entry.mode, is_dir(entry));
        }
    }
}

/// Places what a COPY or ADD selected.
pub(crate) fn copy(draft: &mut Draft<'_>, number: usize, copy: &Copy, taken: &Taken, now: i64, spool: &mut File) -> Result<(), FileError> {
    if taken.len() == 0 {
        return Err(FileError::NothingMatches { patterns: copy.sources.clone(), near: None });
    }
    let owner = copy.owner.as_ref().map(|owner| owner::resolve(owner, draft.target())).transpose()?;
    let new = NewDir { mode: 0o755, owner: owner.unwrap_or((0, 0)), mtime: now };
    let change = Change { owner, keep_owner: copy.keep_owner, mode: copy.mode.as_ref() };
    let dest = copy.dest.as_bytes();
    let ensured = if copy.dest_is_dir { dest } else { dest.iter().rposition(|&b| b == b'/').map_or(&b""[..], |slash| &dest[..slash]) };
    let ensured = draft.resolve(b"", ensured)?;
    draft.make_dirs(&ensured, new)?;
    let target = draft.resolve(b"", dest)?;
    let exists = draft.stat(&target)?;
    let in_directory = copy.dest_is_dir || exists.is_some_and(|seen| seen.kind == Kind::Dir);
    let mut unpacked = Vec::new();
    if copy.unpack == Unpack::Archives {
        for index in (0..taken.len()).filter(|&index| is_named(taken, index)) {
            if archive::unpack(draft, &target, taken, index, new, spool)? {
                unpacked.push(index);
            }
        }
        if unpacked.len() == taken.len() {
            return Ok(());
        }
    }
    if taken.placement() == Placement::Named && !in_directory {
        return put(draft, number, taken, 0, &target, &change);
    }
    let has_dir = (0..taken.len()).any(|index| is_dir(taken.member(index).1));
    if !in_directory && !has_dir && taken.len() - unpacked.len() > 1 && !copy.parents {
        return Err(FileError::SeveralToOne { dest: copy.dest.clone() });
    }
    draft.make_dirs(&target, new)?;
    below(draft, number, taken, &target, &change, &unpacked)
}

/// Places members below a directory.
fn below(draft: &mut Draft<'_>, number: usize, taken: &Taken, target: &[u8], change: &Change<'_>, skip: &[usize]) -> Result<(), FileError> {
    let mut links: HashMap<Vec<u8>, usize> = HashMap::new();
    for index in 0..taken.len() {
        let (path, entry) = taken.member(index);
        if path.is_empty() || skip.contains(&index) {
            continue;
        }
        let full = join(target, path);
        if entry.kind == Kind::Hardlink {
            links.insert(full, index);
            continue;
        }
        put(draft, number, taken, index, &full, change)?;
    }
    for (full, index) in links {
        hard_link(draft, taken, index, target, &full)?;
    }
    Ok(())
}

/// A further name of a file that was placed already.
fn hard_link(draft: &mut Draft<'_>, taken: &Taken, index: usize, target: &[u8], full: &[u8]) -> Result<(), FileError> {
    let first = join(target, &taken.member(index).1.link);
    let fresh_group = draft.new_group();
    let Some(planned) = draft.planned(&first) else {
        return Err(FileError::NotFound { path: taken.shown(index), near: None });
    };
    planned.links.get_or_insert(fresh_group);
    let twin = planned.clone();
    refuse_directory(draft, taken, index, full)?;
    draft.put(full, twin)
}

fn refuse_directory(draft: &Draft<'_>, taken: &Taken, index: usize, path: &[u8]) -> Result<(), FileError> {
    match draft.stat(path)? {
        Some(seen) if seen.kind == Kind::Dir => Err(FileError::FileOverDir { from: taken.shown(index), path: shown(path) }),
        _ => Ok(()),
    }
}

/// Places one member.
fn put(draft: &mut Draft<'_>, number: usize, taken: &Taken, index: usize, path: &[u8], change: &Change<'_>) -> Result<(), FileError> {
    let mut entry = taken.member(index).1.clone();
    entry.path = Vec::new();
    change.apply(&mut entry);
    if !is_dir(&entry) {
        refuse_directory(draft, taken, index, path)?;
        let content = if entry.kind == Kind::File { Content::Taken { action: number, index } } else { Content::None };
        return draft.put(path, Planned { content, ..Planned::new(entry) });
    }
    match draft.stat(path)? {
        None => draft.put(path, Planned { fresh: true, ..Planned::new(entry) }),
        Some(seen) if seen.kind != Kind::Dir => Err(FileError::DirOverFile { from: taken.shown(index), path: shown(path) }),
        Some(_) => match draft.planned(path) {
            Some(planned) => {
                planned.entry = entry;
                Ok(())
            }
            None => draft.put(path, Planned::new(entry)),
        },
    }
}

/// Whether a source names this member itself, instead of a directory that it lies in.
fn is_named(taken: &Taken, index: usize) -> bool {
    let (path, entry) = taken.member(index);
    if entry.kind != Kind::File || path.contains(&b'/') {
        return false;
    }
    if taken.placement() == Placement::Named {
        return true;
    }
    match taken {
        Taken::View(_, selection) => selection.named.contains(&index),
        Taken::Context(_, selection) => selection.entries()[index].is_named(),
    }
}

/// Writes an inline file.
pub(crate) fn file(draft: &mut Draft<'_>, path: &str, data: &[u8], mode: Option<&ModeChange>, owner: Option<&Owner>, now: i64) -> Result<(), FileError> {
    let owner = owner.map_or(Ok((0, 0)), |owner| owner::resolve(owner, draft.target()))?;
    let target = draft.resolve(b"", path.as_bytes())?;
    if draft.stat(&target)?.is_some_and(|seen| seen.kind == Kind::Dir) {
        return Err(FileError::FileOverDir { from: "of the heredoc".to_owned(), path: shown(&target) });
    }
    let parent = target.iter().rposition(|&b| b == b'/').map_or(&b""[..], |slash| &target[..slash]);
    draft.make_dirs(parent, NewDir { mode: 0o755, owner, mtime: now })?;
    let mut entry = Entry::new(Vec::new(), Kind::File);
    (entry.uid, entry.gid, entry.mtime, entry.size) = (owner.0, owner.1, now, data.len() as u64);
    if let Some(mode) = mode {
        entry.mode = chmod::apply(mode, entry.mode, false);
    }
    draft.put(&target, Planned { content: Content::Bytes(data.to_vec()), ..Planned::new(entry) })
}

/// Makes a directory; one that is there stays as it is.
pub(crate) fn directory(draft: &mut Draft<'_>, path: &str, mode: u32, owner: Option<&Owner>, parents: bool, now: i64) -> Result<(), FileError> {
    let owner = owner.map_or(Ok((0, 0)), |owner| owner::resolve(owner, draft.target()))?;
    let target = draft.resolve(b"", path.as_bytes())?;
    let parent = target.iter().rposition(|&b| b == b'/').map_or(&b""[..], |slash| &target[..slash]);
    if !parents && !parent.is_empty() && draft.stat(parent)?.is_none() {
        return Err(FileError::NotADirectory { path: shown(parent) });
    }
    draft.make_dirs(&target, NewDir { mode, owner, mtime: now }).map(drop)
}
