//! One file of a layer tree, with all that its attributes say.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use layer::{Entry, Kind, is_private_xattr};
use sys::{FileKind, OpenFlags, Root, Stat, xattr};

use super::IdPolicy;
use super::apply::shown;
use super::special::{
    NODE, OPAQUE, REFUSED, TRUSTED_OPAQUE, UNSUPPORTED, WHITEOUT, decode_node, name, portable_capability,
};
use crate::single_id::owner::{self, Owner, Owners};

/// Why a file of a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A call failed.
    #[error("read {path}: {source}")]
    Io {
        /// Path in the tree.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// overlayfs left a mark that only a mount with other options understands.
    #[error("{path}: has the attribute {attribute}, which this version does not support")]
    Mark {
        /// Path in the tree.
        path: String,
        /// The attribute.
        attribute: String,
    },
}

impl WalkError {
    pub(super) fn new(path: &[u8], source: impl Into<io::Error>) -> WalkError {
        WalkError::Io { path: shown(path), source: source.into() }
    }
}

/// Something that was found, its attributes read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entry: Entry,
    /// A file comes opened for reading.
    pub(super) file: Option<File>,
    pub(super) stat: Stat,
    /// Of a directory, the value of the attribute that makes it opaque or says that files in it may be deletions.
    pub(super) opaque: Option<Vec<u8>>,
}

/// Reads the files of one tree.
#[derive(Debug)]
pub(super) struct Inodes {
    root: Root,
    owners: Option<Owners>,
}

impl Inodes {
    pub(super) fn new(root: &Root, ids: &IdPolicy) -> sys::Result<Inodes> {
        let owners = match ids {
            IdPolicy::Keep => None,
            IdPolicy::Recorded(tree) => Some(Owners::of(tree)?),
        };
        Ok(Inodes { root: root.try_clone()?, owners })
    }

    /// Reads what stands at a name, a deletion as one; `None` for a socket. `whiteout_files` says whether files in that
    /// directory may be deletions.
    pub(super) fn read(
        &self,
        dir: &Root,
        last: &OsStr,
        kind: FileKind,
        path: &[u8],
        whiteout_files: bool,
    ) -> Result<Option<Found>, WalkError> {
        let failed = |error| WalkError::new(path, error);
        let mut file = None;
        if matches!(kind, FileKind::File | FileKind::Unknown) {
            // Between listing and opening, a name may have come to mean a pipe: NONBLOCK, so as not to hang on one.
            let flags = OpenFlags::RDONLY | OpenFlags::NOFOLLOW | OpenFlags::NONBLOCK;
            file = (kind == FileKind::File).then(|| dir.open_file(last, flags)).transpose().map_err(failed)?;
        }
        let stat = match &file {
            Some(file) => sys::stat::of(file).map_err(failed)?,
            None => dir.stat(last).map_err(failed)?,
        };
        if stat.is_file() && file.is_none() {
            let flags = OpenFlags::RDONLY | OpenFlags::NOFOLLOW | OpenFlags::NONBLOCK;
            file = Some(dir.open_file(last, flags).map_err(failed)?);
        }
        let Some(kind) = entry_kind(stat.kind()) else { return Ok(None) };
        let mut found = Found { entry: Entry::new(path, kind), file, stat, opaque: None };
        if kind == Kind::Char && stat.rdev == (0, 0) {
            found.entry = Entry::new(path, Kind::Whiteout);
            return Ok(Some(found));
        }
        take_stat(&mut found.entry, &stat);
        if kind == Kind::Symlink {
            found.entry.link = dir.readlink(last).map_err(failed)?.into_vec();
        }
        let source = match &found.file {
            Some(file) => Source::Open(file.as_fd()),
            None => Source::Named(dir, last),
        };
        let marks = read_xattrs(&source, &mut found.entry, path)?;
        found.opaque = marks.opaque;
        if whiteout_files && stat.size == 0 && marks.whiteout {
            found.entry = Entry::new(path, Kind::Whiteout);
            return Ok(Some(found));
        }
        if let Some((kind, rdev)) = marks.node.filter(|_| stat.is_file() && stat.size == 0) {
            (found.entry.kind, found.entry.rdev, found.file) = (kind, rdev, None);
        }
        self.take_owner(&mut found.entry, marks.owner, &stat)?;
        Ok(Some(found))
    }

    fn take_owner(&self, entry: &mut Entry, recorded: Option<Owner>, stat: &Stat) -> Result<(), WalkError> {
        let Some(owners) = &self.owners else { return Ok(()) };
        let from_table = match entry.kind {
            // What carries attributes has its owner there; what has none there has never been changed.
            Kind::File | Kind::Dir => None,
            _ if recorded.is_some() => None,
            _ => owners
                .get(&self.root, Path::new(name(&entry.path)), stat)
                .map_err(|error| WalkError::new(&entry.path, error))?,
        };
        let owner = recorded.or(from_table).unwrap_or(Owner { uid: 0, gid: 0 });
        (entry.uid, entry.gid) = (owner.uid, owner.gid);
        Ok(())
    }
}

/// Where attributes are read: of an open file, or of a name.
enum Source<'a> {
    Open(BorrowedFd<'a>),
    Named(&'a Root, &'a OsStr),
}

impl Source<'_> {
    fn list(&self) -> sys::Result<Vec<OsString>> {
        match self {
            Source::Open(fd) => xattr::list(fd),
            Source::Named(dir, last) => xattr::list_at(dir.as_fd(), last),
        }
    }

    fn get(&self, attribute: &OsStr) -> sys::Result<Option<Vec<u8>>> {
        match self {
            Source::Open(fd) => xattr::get(fd, attribute),
            Source::Named(dir, last) => xattr::get_at(dir.as_fd(), last, attribute),
        }
    }
}

/// What attributes say that are not the layer's.
#[derive(Default)]
struct Marks {
    opaque: Option<Vec<u8>>,
    whiteout: bool,
    node: Option<(Kind, (u32, u32))>,
    owner: Option<Owner>,
}

fn read_xattrs(source: &Source<'_>, entry: &mut Entry, path: &[u8]) -> Result<Marks, WalkError> {
    let failed = |error| WalkError::new(path, error);
    let mut marks = Marks::default();
    for attribute in source.list().map_err(failed)? {
        let bytes = attribute.as_bytes();
        if UNSUPPORTED.contains(&bytes) {
            let attribute = attribute.to_string_lossy().into_owned();
            return Err(WalkError::Mark { path: shown(path), attribute });
        }
        let Some(value) = source.get(&attribute).map_err(failed)? else { continue };
        match bytes {
            OPAQUE | TRUSTED_OPAQUE => marks.opaque = Some(value),
            WHITEOUT => marks.whiteout = true,
            NODE => marks.node = decode_node(&value),
            b"security.capability" => drop(entry.xattrs.insert(bytes.to_vec(), portable_capability(value))),
            _ if bytes == owner::XATTR.as_bytes() => marks.owner = Owner::decode(&value),
            _ => match bytes.strip_prefix(REFUSED) {
                Some(refused) if !is_private_xattr(refused) => drop(entry.xattrs.insert(refused.to_vec(), value)),
                _ if is_private_xattr(bytes) => {}
                _ => drop(entry.xattrs.insert(bytes.to_vec(), value)),
            },
        }
    }
    Ok(marks)
}

/// The attributes of a directory of another tree, for one that is made in its image.
pub(super) fn take_attributes(tree: &Root, entry: &mut Entry, stat: &Stat) -> sys::Result<()> {
    take_stat(entry, stat);
    for attribute in tree.list_xattrs(name(&entry.path))? {
        let Some(value) = tree.get_xattr(name(&entry.path), &attribute)? else { continue };
        if attribute.as_bytes() == owner::XATTR.as_bytes() {
            if let Some(owner) = Owner::decode(&value) {
                (entry.uid, entry.gid) = (owner.uid, owner.gid);
            }
        } else if !is_private_xattr(attribute.as_bytes()) {
            entry.xattrs.insert(attribute.into_vec(), value);
        }
    }
    Ok(())
}

fn take_stat(entry: &mut Entry, stat: &Stat) {
    entry.mode = stat.permissions();
    (entry.uid, entry.gid) = (stat.uid, stat.gid);
    entry.mtime = stat.mtime.seconds;
    match entry.kind {
        Kind::File => entry.size = stat.size,
        Kind::Char | Kind::Block => entry.rdev = stat.rdev,
        _ => {}
    }
}

fn entry_kind(kind: FileKind) -> Option<Kind> {
    match kind {
        FileKind::File => Some(Kind::File),
        FileKind::Dir => Some(Kind::Dir),
        FileKind::Symlink => Some(Kind::Symlink),
        FileKind::Char => Some(Kind::Char),
        FileKind::Block => Some(Kind::Block),
        FileKind::Fifo => Some(Kind::Fifo),
        FileKind::Socket | FileKind::Unknown => None,
    }
}
