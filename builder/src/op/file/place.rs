//! Where things go: BuildKit's rules for destinations, and what may stand over what.

use std::collections::HashMap;
use std::fs::File;

use graph::pattern::Glob;
use graph::{Copy, ModeChange, Owner, Unpack};
use layer::{Entry, Kind};

use super::draft::{Body, Content, Draft, NewDir, Planned, join, shown};
use super::{FileError, Taken, archive, chmod, is_dir, owner};
use crate::context::Placement;

/// What a copy changes about what it copies.
pub(crate) struct Change {
    owner: Option<(u32, u32)>,
    keep_owner: bool,
    mode: Option<ModeChange>,
}

impl Change {
    /// Changes an entry.
    pub(crate) fn apply(&self, entry: &mut Entry) {
        match self.owner {
            Some(owner) => (entry.uid, entry.gid) = owner,
            None if self.keep_owner => {}
            None => (entry.uid, entry.gid) = (0, 0),
        }
        if let Some(mode) = &self.mode
            && entry.kind != Kind::Symlink
        {
            entry.mode = chmod::apply(mode, entry.mode, is_dir(entry));
        }
    }
}

/// Places what a COPY or ADD selected.
pub(crate) fn copy(
    draft: &mut Draft<'_>,
    copy: &Copy,
    taken: Taken,
    now: i64,
    spool: &mut File,
) -> Result<(), FileError> {
    let count = taken.len();
    if count == 0 {
        return if is_optional(copy) {
            Ok(())
        } else {
            Err(FileError::NothingMatches { patterns: copy.sources.clone(), near: None })
        };
    }
    let owner = copy.owner.as_ref().map(|owner| owner::resolve(owner, draft.target())).transpose()?;
    // As BuildKit does: folders that are made on the way get the permissions that were asked for.
    let mode = copy.mode.as_ref().map_or(0o755, |mode| chmod::apply(mode, 0o755, true));
    let new = NewDir { mode, owner: owner.unwrap_or((0, 0)), mtime: now };
    let dest = copy.dest.as_bytes();
    let ensured = if copy.dest_is_dir {
        dest
    } else {
        dest.iter().rposition(|&b| b == b'/').map_or(&b""[..], |slash| &dest[..slash])
    };
    let ensured = draft.resolve(b"", ensured)?;
    draft.make_dirs(&ensured, new)?;
    let target = draft.resolve(b"", dest)?;
    let exists = draft.stat(&target)?;
    let in_directory = copy.dest_is_dir || exists.is_some_and(|seen| seen.kind == Kind::Dir);
    let mut unpacked = Vec::new();
    if copy.unpack == Unpack::Archives {
        for index in (0..count).filter(|&index| is_named(&taken, index)) {
            if archive::unpack(draft, &target, &taken, index, archive::Into { new, owner }, spool)? {
                unpacked.push(index);
            }
        }
        if unpacked.len() == count {
            return Ok(());
        }
    }
    let placement = taken.placement();
    let has_dir = (0..count).any(|index| is_dir(taken.member(index).1));
    let source = draft.add_source(taken, Change { owner, keep_owner: copy.keep_owner, mode: copy.mode.clone() });
    if placement == Placement::Named && !in_directory {
        return put(draft, source, 0, &target);
    }
    if !in_directory && !has_dir && count - unpacked.len() > 1 && !copy.parents {
        return Err(FileError::SeveralToOne { dest: copy.dest.clone() });
    }
    draft.make_dirs(&target, new)?;
    below(draft, source, &target, &unpacked)
}

/// Whether a copy that finds nothing is one that was told it might: all its sources are wildcards, as in BuildKit.
fn is_optional(copy: &Copy) -> bool {
    copy.sources.iter().all(|source| Glob::new(source).is_ok_and(|glob| !glob.is_literal()))
}

/// Places members below a directory.
fn below(draft: &mut Draft<'_>, source: usize, target: &[u8], skip: &[usize]) -> Result<(), FileError> {
    let mut links: HashMap<Vec<u8>, usize> = HashMap::new();
    for index in 0..draft.source(source).taken.len() {
        let (path, entry) = draft.source(source).taken.member(index);
        if path.is_empty() || skip.contains(&index) {
            continue;
        }
        let full = join(target, path);
        if entry.kind == Kind::Hardlink {
            links.insert(full, index);
            continue;
        }
        put(draft, source, index, &full)?;
        twin(draft, source, index, target, &full);
    }
    for (full, index) in links {
        hard_link(draft, source, index, target, &full)?;
    }
    Ok(())
}

/// Lets a name be one file with the name that it shares a file with in its source.
fn twin(draft: &mut Draft<'_>, source: usize, index: usize, target: &[u8], full: &[u8]) {
    let taken = &draft.source(source).taken;
    let Some(first) = taken.twin(index) else { return };
    let first = join(target, taken.member(first).0);
    let group = draft.new_group();
    let shared = draft.planned(&first).map(|planned| *planned.links.get_or_insert(group));
    if let Some(planned) = draft.planned(full) {
        planned.links = shared;
    }
}

/// A further name of a file that was placed already.
fn hard_link(draft: &mut Draft<'_>, source: usize, index: usize, target: &[u8], full: &[u8]) -> Result<(), FileError> {
    let first = join(target, &draft.source(source).taken.member(index).1.link);
    let group = draft.new_group();
    let Some(planned) = draft.planned(&first) else {
        return Err(FileError::NotFound { path: draft.source(source).taken.shown(index), near: None });
    };
    planned.links.get_or_insert(group);
    let twin = planned.clone();
    refuse_directory(draft, source, index, full)?;
    draft.put(full, twin)
}

fn refuse_directory(draft: &Draft<'_>, source: usize, index: usize, path: &[u8]) -> Result<(), FileError> {
    match draft.stat(path)? {
        Some(seen) if seen.kind == Kind::Dir => {
            Err(FileError::FileOverDir { from: draft.source(source).taken.shown(index), path: shown(path) })
        }
        _ => Ok(()),
    }
}

/// Places one member.
fn put(draft: &mut Draft<'_>, source: usize, index: usize, path: &[u8]) -> Result<(), FileError> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let body = Body::Taken { source: number(source), index: number(index) };
    let kind = draft.source(source).taken.member(index).1.kind;
    let planned = Planned { body, kind, links: None, fresh: false, opaque: false };
    if kind != Kind::Dir {
        refuse_directory(draft, source, index, path)?;
        return draft.put(path, planned);
    }
    match draft.stat(path)? {
        None => draft.put(path, Planned { fresh: true, ..planned }),
        Some(seen) if seen.kind != Kind::Dir => {
            Err(FileError::DirOverFile { from: draft.source(source).taken.shown(index), path: shown(path) })
        }
        Some(_) => match draft.planned(path) {
            Some(there) => {
                there.body = planned.body;
                Ok(())
            }
            None => draft.put(path, planned),
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
pub(crate) fn file(
    draft: &mut Draft<'_>,
    path: &str,
    data: &[u8],
    mode: Option<&ModeChange>,
    owner: Option<&Owner>,
    now: i64,
) -> Result<(), FileError> {
    let owner = owner.map_or(Ok((0, 0)), |owner| owner::resolve(owner, draft.target()))?;
    let target = draft.resolve(b"", path.as_bytes())?;
    if draft.stat(&target)?.is_some_and(|seen| seen.kind == Kind::Dir) {
        return Err(FileError::FileOverDir { from: "of the heredoc".to_owned(), path: shown(&target) });
    }
    let parent = target.iter().rposition(|&b| b == b'/').map_or(&b""[..], |slash| &target[..slash]);
    let folder = mode.map_or(0o755, |mode| chmod::apply(mode, 0o755, true));
    draft.make_dirs(parent, NewDir { mode: folder, owner, mtime: now })?;
    let mut entry = Entry::new(Vec::new(), Kind::File);
    (entry.uid, entry.gid, entry.mtime, entry.size) = (owner.0, owner.1, now, data.len() as u64);
    if let Some(mode) = mode {
        entry.mode = chmod::apply(mode, entry.mode, false);
    }
    draft.put(&target, Planned::own(entry, Content::Bytes(data.to_vec())))
}

/// Makes a directory; one that is there stays as it is.
pub(crate) fn directory(
    draft: &mut Draft<'_>,
    path: &str,
    mode: u32,
    owner: Option<&Owner>,
    parents: bool,
    now: i64,
) -> Result<(), FileError> {
    let owner = owner.map_or(Ok((0, 0)), |owner| owner::resolve(owner, draft.target()))?;
    let target = draft.resolve(b"", path.as_bytes())?;
    let parent = target.iter().rposition(|&b| b == b'/').map_or(&b""[..], |slash| &target[..slash]);
    if !parents && !parent.is_empty() && draft.stat(parent)?.is_none() {
        return Err(FileError::NotADirectory { path: shown(parent) });
    }
    draft.make_dirs(&target, NewDir { mode, owner, mtime: now }).map(drop)
}
