//! `ADD` of a local tar: unpacked by content, whatever its name, through the reader that trusts nothing.
//!
//! The archive's files go to a scratch file first, since a layer is written in its own order and an archive has another.
//! Names are resolved inside the destination: neither `..` nor a link, in the archive or in the target, leads out of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use layer::{Chunk, Compression, Entry, Kind, TarReader, WhiteoutNames};

use super::draft::{Content, Draft, NewDir, Planned, join, shown};
use super::{FileError, Taken};

/// What an archive's members and the folders above them become.
#[derive(Clone, Copy)]
pub(crate) struct Into {
    /// Folders that must be made.
    pub(crate) new: NewDir,
    /// Whom all belongs to, where `--chown` says.
    pub(crate) owner: Option<(u32, u32)>,
}

/// Unpacks a member into the directory `dest`, if it is an archive; tells whether it was.
pub(crate) fn unpack(
    draft: &mut Draft<'_>,
    dest: &[u8],
    taken: &Taken,
    index: usize,
    into: Into,
    spool: &mut File,
) -> Result<bool, FileError> {
    let path = taken.shown(index);
    let damaged = |source: layer::ReadError| FileError::Archive { path: path.clone(), source };
    // What cannot even be decompressed is a file like any other.
    let Ok((_, reader)) = Compression::detecting(taken.open(index)?) else { return Ok(false) };
    let mut reader = TarReader::new(reader).whiteout_names(WhiteoutNames::Plain);
    let free = rustix::fs::fstatvfs(&*spool).map_or(u64::MAX, |stat| stat.f_bavail * stat.f_frsize);
    let (mut first, mut claimed) = (true, 0u64);
    loop {
        let (entry, mut content) = match reader.next_entry() {
            Err(_) | Ok(None) if first => return Ok(false),
            Err(error) => return Err(damaged(error)),
            Ok(None) => break,
            Ok(Some(found)) => found,
        };
        if first {
            draft.make_dirs(dest, into.new)?;
            first = false;
        }
        let mut stored = Content::None;
        if entry.kind == Kind::File {
            // A layer's tar has no holes: what an archive claims, it must be possible to write.
            claimed = entry.size.saturating_add(claimed);
            if claimed > free {
                return Err(FileError::TooLarge { path, claimed, free });
            }
            let offset = spool.seek(SeekFrom::End(0)).map_err(FileError::Spool)?;
            let mut end = offset;
            while let Some(chunk) = content.next_chunk().map_err(damaged)? {
                match chunk {
                    Chunk::Hole(length) => end += length,
                    Chunk::Data(bytes) => {
                        spool.write_all_at(bytes, end).map_err(FileError::Spool)?;
                        end += bytes.len() as u64;
                    }
                }
            }
            spool.set_len(end).map_err(FileError::Spool)?;
            stored = Content::Spool { offset };
        }
        member(draft, dest, entry, stored, into, &path)?;
    }
    let mut rest = reader.finish().map_err(damaged)?;
    // Damage at the end of a compressed stream shows only there.
    io::copy(&mut rest.by_ref(), &mut io::sink()).map_err(|source| FileError::Read { path: path.clone(), source })?;
    Ok(true)
}

/// Places one member of an archive, in place of whatever is there; directories merge.
fn member(
    draft: &mut Draft<'_>,
    dest: &[u8],
    mut entry: Entry,
    content: Content,
    into: Into,
    archive: &str,
) -> Result<(), FileError> {
    if let Some(owner) = into.owner {
        (entry.uid, entry.gid) = owner;
    }
    let path = std::mem::take(&mut entry.path);
    let (parent, name) = path
        .iter()
        .rposition(|&b| b == b'/')
        .map_or((&b""[..], &path[..]), |slash| (&path[..slash], &path[slash + 1..]));
    let parent = draft.resolve(dest, parent)?;
    draft.make_dirs(&parent, NewDir { mode: 0o755, owner: into.owner.unwrap_or((0, 0)), ..into.new })?;
    let full = join(&parent, name);
    if entry.kind == Kind::Hardlink {
        return hard_link(draft, dest, entry, &full, archive);
    }
    let there = draft.stat(&full)?;
    if entry.kind == Kind::Dir && there.as_ref().is_some_and(|seen| seen.kind == Kind::Dir) {
        return match draft.planned(&full) {
            Some(planned) => {
                planned.body = Planned::own(entry, Content::None).body;
                Ok(())
            }
            None => draft.put(&full, Planned::own(entry, Content::None)),
        };
    }
    let hides = there.is_some() && draft.clear(&full)?;
    let fresh = entry.kind == Kind::Dir;
    draft.put(&full, Planned { fresh, opaque: hides, ..Planned::own(entry, content) })
}

fn hard_link(draft: &mut Draft<'_>, dest: &[u8], entry: Entry, full: &[u8], archive: &str) -> Result<(), FileError> {
    let (parent, name) = entry
        .link
        .iter()
        .rposition(|&b| b == b'/')
        .map_or((&b""[..], &entry.link[..]), |slash| (&entry.link[..slash], &entry.link[slash + 1..]));
    let parent = draft.resolve(dest, parent)?;
    let first = join(&parent, name);
    let group = draft.new_group();
    if draft.planned(&first).is_none() {
        from_target(draft, &first)?;
    }
    let twin = draft.planned(&first).filter(|planned| planned.kind != Kind::Dir).map(|planned| {
        planned.links.get_or_insert(group);
        planned.clone()
    });
    let Some(twin) = twin else {
        return Err(FileError::DanglingLink { path: archive.to_owned(), name: shown(full), link: shown(&first) });
    };
    if full == first {
        return Ok(());
    }
    draft.clear(full)?;
    draft.put(full, twin)
}

/// A file below that gains a name is copied up: a layer's hard links stay in the layer.
fn from_target(draft: &mut Draft<'_>, path: &[u8]) -> Result<(), FileError> {
    if draft.stat(path)?.is_none() {
        return Ok(());
    }
    let node = draft.target().lookup(path, false).map_err(FileError::target)?;
    let Some(node) = node.filter(|node| node.entry().kind != Kind::Dir) else { return Ok(()) };
    let mut entry = node.entry().clone();
    entry.path = Vec::new();
    let content = if entry.kind == Kind::File { Content::Target(path.into()) } else { Content::None };
    draft.put(path, Planned::own(entry, content))
}
