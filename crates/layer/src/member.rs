//! One member of an archive, put together from its header block and the extended headers before it.

use crate::entry::is_private_xattr;
use crate::header::{self, BLOCK, Header};
use crate::limits::WhiteoutNames;
use crate::pax::Records;
use crate::plan::{self, Place, shown};
use crate::read_error::ReadError;
use crate::sparse::{Extent, checked, header_runs, pairs};
use crate::{Entry, Kind};

/// What stood before a member's own header.
#[derive(Debug, Default)]
pub(crate) struct Before {
    pub(crate) pax: Option<Records>,
    pub(crate) gnu_path: Option<Vec<u8>>,
    pub(crate) gnu_link: Option<Vec<u8>>,
}

impl Before {
    pub(crate) fn is_empty(&self) -> bool {
        self.pax.is_none() && self.gnu_path.is_none() && self.gnu_link.is_none()
    }
}

/// How the stored bytes make up the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One after another.
    Plain,
    /// As these runs, of a file of `size` bytes.
    Runs { runs: Vec<Extent>, size: u64 },
    /// As runs whose list begins in the header block and goes on in the blocks after it, if `more`.
    OldGnu { runs: Vec<Extent>, size: u64, more: bool },
    /// As runs that stand, in decimal, at the beginning of the stored bytes.
    Inline { size: u64 },
}

/// A member before its name is judged.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) entry: Entry,
    /// Bytes that follow the header in the archive.
    pub(crate) stored: u64,
    pub(crate) layout: Layout,
}

impl Member {
    /// Reads a header with what stood before it.
    pub(crate) fn new(block: &[u8; BLOCK], before: Before, offset: u64) -> Result<Member, ReadError> {
        let header = Header(block);
        let bad = |source| ReadError::Header { offset, source };
        let pax = before.pax.unwrap_or_default();
        let path = one_name(before.gnu_path, pax.path, offset)?.unwrap_or_else(|| header.path());
        let path = pax.sparse.name.clone().unwrap_or(path);
        let link = one_name(before.gnu_link, pax.link, offset)?;
        let link = link.unwrap_or_else(|| header.text(header::LINK).to_vec());
        let in_header = header.number(header::SIZE, "size").map_err(bad)?;
        let stored = stored_size(in_header, pax.size).ok_or_else(|| ReadError::Sizes { path: shown(&path) })?;
        let kind = kind(header.kind(), &path, stored)
            .ok_or_else(|| ReadError::Unsupported { path: shown(&path), flag: char::from(header.kind()) })?;
        let mut entry = Entry::new(path, kind);
        entry.mode = (header.number(header::MODE, "mode").map_err(bad)? & 0o7777) as u32;
        entry.uid = pax.uid.map_or_else(|| header.id(header::UID, "uid"), Ok).map_err(bad)?;
        entry.gid = pax.gid.map_or_else(|| header.id(header::GID, "gid"), Ok).map_err(bad)?;
        entry.mtime = pax.mtime.map_or_else(|| header.time(), Ok).map_err(bad)?;
        if matches!(kind, Kind::Char | Kind::Block) {
            entry.rdev = header.device().map_err(bad)?;
        }
        if matches!(kind, Kind::Symlink | Kind::Hardlink) {
            entry.link = link;
        }
        entry.xattrs = pax.xattrs;
        entry.xattrs.retain(|name, _| !is_private_xattr(name));
        let layout = layout(&header, &pax.sparse, kind, stored).ok_or_else(|| ReadError::Sparse(shown(&entry.path)))?;
        let stored = content_size(&entry, header.kind(), stored)?;
        Ok(Member { entry, stored, layout })
    }

    /// Gives the entry its place in the layer; `None` if it has none. Of deletions, nothing but the path is kept.
    pub(crate) fn place(&mut self, names: WhiteoutNames, offset: u64) -> Result<bool, ReadError> {
        let bad = |source| ReadError::Plan { offset, source };
        let deletion = match plan::place(&self.entry.path, names == WhiteoutNames::Deletions).map_err(bad)? {
            Place::Root | Place::Skip => return Ok(false),
            Place::Path(path) => {
                self.entry.path = path;
                return self.place_link(offset).map(|()| true);
            }
            Place::Whiteout(path) => Entry::new(path, Kind::Whiteout),
            Place::Opaque(path) => Entry::new(path, Kind::Opaque),
        };
        self.entry = deletion;
        Ok(true)
    }

    fn place_link(&mut self, offset: u64) -> Result<(), ReadError> {
        let entry = &mut self.entry;
        if entry.kind == Kind::Hardlink {
            entry.link = plan::link_target(&entry.link).map_err(|source| ReadError::Plan { offset, source })?;
        }
        let is_link = matches!(entry.kind, Kind::Symlink | Kind::Hardlink);
        if is_link && (entry.link.is_empty() || entry.link == entry.path && entry.kind == Kind::Hardlink) {
            return Err(ReadError::Link(shown(&entry.path)));
        }
        Ok(())
    }
}

/// A name that may stand in a PAX record and in a GNU header; where both stand, they must agree, as tools differ in
/// which they believe.
fn one_name(gnu: Option<Vec<u8>>, pax: Option<Vec<u8>>, offset: u64) -> Result<Option<Vec<u8>>, ReadError> {
    match (gnu, pax) {
        (Some(gnu), Some(pax)) if gnu != pax => Err(ReadError::TwoNames { offset }),
        (gnu, pax) => Ok(pax.or(gnu)),
    }
}

/// How many bytes follow. A PAX record outranks the header, and believing the header instead is how other readers were
/// led into files inside files (CVE-2025-62518). A header that holds a different size of its own is a lie to one or the
/// other, unless the true size doesn't fit there.
fn stored_size(in_header: u64, in_pax: Option<u64>) -> Option<u64> {
    match in_pax {
        None => Some(in_header),
        Some(size) if in_header == 0 || in_header == size || size > header::MAX_LONG => Some(size),
        Some(_) => None,
    }
}

/// The kind that a type flag stands for. Old archives mark a directory by a slash at the end of its name.
fn kind(flag: u8, path: &[u8], stored: u64) -> Option<Kind> {
    match flag {
        b'0' | 0 | b'7' if path.ends_with(b"/") => (stored == 0).then_some(Kind::Dir),
        b'0' | 0 | b'7' | b'S' => Some(Kind::File),
        b'1' => Some(Kind::Hardlink),
        b'2' => Some(Kind::Symlink),
        b'3' => Some(Kind::Char),
        b'4' => Some(Kind::Block),
        b'5' => Some(Kind::Dir),
        b'6' => Some(Kind::Fifo),
        _ => None,
    }
}

/// Only files have content. On the size of a hard link all tools agree that it means nothing; on others they differ
/// in whether content follows, so one that claims some is refused.
fn content_size(entry: &Entry, flag: u8, stored: u64) -> Result<u64, ReadError> {
    match entry.kind {
        Kind::File => Ok(stored),
        Kind::Hardlink => Ok(0),
        _ if stored == 0 => Ok(0),
        _ => Err(ReadError::Content { path: shown(&entry.path), flag: char::from(flag) }),
    }
}

fn layout(header: &Header<'_>, pax: &crate::pax::SparseRecords, kind: Kind, stored: u64) -> Option<Layout> {
    if header.kind() == b'S' {
        let mut runs = Vec::new();
        header_runs(header.0, &mut runs)?;
        let size = header.number(header::SPARSE_SIZE, "size").ok()?;
        return Some(Layout::OldGnu { runs, size, more: header.0[header::SPARSE_MORE] != 0 });
    }
    if pax.is_empty() {
        return Some(Layout::Plain);
    }
    if kind != Kind::File {
        return None;
    }
    let size = pax.size?;
    match (pax.major, pax.minor) {
        (Some(1), Some(0)) => Some(Layout::Inline { size }),
        (None, None) | (Some(0), Some(0 | 1)) => {
            let runs = pairs(&pax.map)?;
            if pax.blocks.is_some_and(|blocks| blocks != runs.len() as u64) {
                return None;
            }
            Some(Layout::Runs { runs: checked(runs, size, stored)?, size })
        }
        _ => None,
    }
}
