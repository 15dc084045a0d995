//! One layer of a view, in either form.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, Mutex, PoisonError};

use layer::{Entry, Kind, Toc, TocEntry};
use oci::Digest;
use rustix::io::Errno;
use sys::{FileKind, Root};

use super::ViewError;
use super::content::Stored;
use crate::tree::dirs::{Dirs, split};
use crate::tree::inode::Inodes;
use crate::tree::special::name;
use crate::tree::{IdPolicy, LinkParents, WalkError};

/// How many names for one file are followed: archives point them at the first.
const MAX_HARDLINKS: usize = 8;

/// One layer of a chain, in either form.
#[derive(Debug)]
pub enum LayerSource {
    /// A layer tree.
    Tree {
        /// The directory.
        root: Root,
        /// Its record, if one is kept: then the digests of contents need not be computed.
        toc: Option<Arc<Toc>>,
        /// Where owners stand.
        ids: IdPolicy,
    },
    /// An uncompressed tar and its record.
    Blob {
        /// The record.
        toc: Arc<Toc>,
        /// The tar.
        tar: File,
    },
}

/// What can be read from any place on.
pub trait Seekable: Read + Seek + Send {}

impl<T: Read + Seek + Send> Seekable for T {}

#[derive(Debug)]
pub(super) enum Layer {
    Tree { dirs: Mutex<Dirs>, inodes: Inodes, toc: Option<Arc<Toc>> },
    Blob { toc: Arc<Toc>, tar: Arc<File> },
}

/// What a layer has at a path.
pub(super) enum Met {
    Absent,
    Whiteout,
    /// A directory, because something lies in it.
    Implied,
    Dir {
        entry: Entry,
        opaque: bool,
    },
    Other {
        entry: Entry,
        place: Place,
    },
}

/// What the names of one file of a layer have in common: in a record the first name, which that itself does not say, and
/// in a tree the inode number after a zero byte, which no name has. `None` where nothing tells of another name.
pub(super) type Shared = Option<Box<[u8]>>;

/// Where an entry stands.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// The root, which is in all layers.
    Nowhere,
    Dir {
        layer: usize,
    },
    /// A file at this path of a layer's tree.
    Tree {
        layer: usize,
        path: Vec<u8>,
        content: Option<Digest>,
        shared: Shared,
    },
    /// Stored bytes of a tar.
    Blob {
        layer: usize,
        stored: Stored,
        content: Option<Digest>,
        shared: Shared,
    },
    /// Neither file nor directory.
    Bare {
        layer: usize,
    },
}

impl Place {
    pub(super) fn layer(&self) -> usize {
        match self {
            Place::Nowhere => 0,
            Place::Dir { layer } | Place::Bare { layer } => *layer,
            Place::Tree { layer, .. } | Place::Blob { layer, .. } => *layer,
        }
    }

    pub(super) fn content(&self) -> Option<Digest> {
        match self {
            Place::Tree { content, .. } | Place::Blob { content, .. } => *content,
            Place::Nowhere | Place::Dir { .. } | Place::Bare { .. } => None,
        }
    }

    pub(super) fn shared(&self) -> Option<&[u8]> {
        match self {
            Place::Tree { shared, .. } | Place::Blob { shared, .. } => shared.as_deref(),
            Place::Nowhere | Place::Dir { .. } | Place::Bare { .. } => None,
        }
    }
}

impl Layer {
    pub(super) fn new(source: LayerSource) -> Result<Layer, ViewError> {
        match source {
            LayerSource::Blob { toc, tar } => Ok(Layer::Blob { toc, tar: Arc::new(tar) }),
            LayerSource::Tree { root, toc, ids } => {
                let inodes = Inodes::new(&root, &ids).map_err(|error| WalkError::new(b".", error))?;
                Ok(Layer::Tree { dirs: Mutex::new(Dirs::new(root, LinkParents::Refuse)), inodes, toc })
            }
        }
    }

    /// What this layer, number `index`, has at `path`. All directories above it are directories of this layer.
    pub(super) fn meet(&self, index: usize, path: &[u8]) -> Result<Met, ViewError> {
        match self {
            Layer::Blob { toc, .. } => Ok(meet_record(toc, index, path)),
            Layer::Tree { dirs, inodes, toc } => meet_tree(dirs, inodes, toc.as_deref(), index, path),
        }
    }

    /// Adds the names in a directory, deletions included.
    pub(super) fn names(&self, dir: &[u8], names: &mut BTreeSet<Vec<u8>>) -> Result<(), ViewError> {
        match self {
            Layer::Blob { toc, .. } => names.extend(toc.children(dir).into_iter().map(|(name, _)| name.to_vec())),
            Layer::Tree { dirs, .. } => {
                let failed = |error| WalkError::new(dir, error);
                let opened = open_dir(dirs, dir).map_err(failed)?;
                for found in opened.read_dir("").map_err(failed)? {
                    names.insert(found.map_err(failed)?.name.into_vec());
                }
            }
        }
        Ok(())
    }

    /// The content of the file at `place`; `None` if it is none.
    pub(super) fn open(&self, place: &Place) -> io::Result<Option<Box<dyn Seekable>>> {
        match (self, place) {
            (Layer::Tree { dirs, .. }, Place::Tree { path, .. }) => {
                let (parent, last) = split(path);
                Ok(Some(Box::new(open_dir(dirs, parent)?.open_regular(name(last))?)))
            }
            (Layer::Blob { tar, .. }, Place::Blob { stored, .. }) => Ok(Some(Box::new(stored.open(Arc::clone(tar))))),
            _ => Ok(None),
        }
    }
}

fn open_dir(dirs: &Mutex<Dirs>, path: &[u8]) -> sys::Result<Arc<Root>> {
    dirs.lock().unwrap_or_else(PoisonError::into_inner).open(path)
}

fn meet_tree(
    dirs: &Mutex<Dirs>,
    inodes: &Inodes,
    toc: Option<&Toc>,
    index: usize,
    path: &[u8],
) -> Result<Met, ViewError> {
    let (parent, last) = split(path);
    let absent = |error: &sys::Error| matches!(error.errno(), Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG);
    let failed = |error| WalkError::new(path, error);
    let dir = match open_dir(dirs, parent) {
        Err(error) if absent(&error) => return Ok(Met::Absent),
        opened => opened.map_err(failed)?,
    };
    let kind = match dir.stat(name(last)) {
        Ok(stat) => stat.kind(),
        Err(error) if absent(&error) => return Ok(Met::Absent),
        Err(error) => return Err(failed(error).into()),
    };
    // Whether files may be deletions here is not asked: no other file has that attribute.
    let Some(found) = inodes.read(&dir, name(last), kind, path, kind == FileKind::File)? else {
        return Ok(Met::Absent);
    };
    Ok(match found.entry.kind {
        Kind::Whiteout => Met::Whiteout,
        Kind::Dir => Met::Dir { opaque: found.opaque.as_deref() == Some(b"y"), entry: found.entry },
        Kind::File => {
            let known = toc.and_then(|toc| resolved(toc, path)).filter(|known| known.entry.size == found.entry.size);
            let content = known.and_then(|known| known.content);
            let shared = (found.stat.nlink > 1).then(|| [&[0], &found.stat.ino.to_be_bytes()[..]].concat().into());
            Met::Other { entry: found.entry, place: Place::Tree { layer: index, path: path.to_vec(), content, shared } }
        }
        _ => Met::Other { entry: found.entry, place: Place::Bare { layer: index } },
    })
}

fn meet_record(toc: &Toc, index: usize, path: &[u8]) -> Met {
    let Some(found) = toc.lookup(path) else {
        let exists = toc.implies(path) || toc.is_opaque(path);
        return if exists { Met::Implied } else { Met::Absent };
    };
    match found.entry.kind {
        Kind::Whiteout | Kind::Opaque => {
            // The layer deletes what is below, and then has something of its own there.
            if toc.implies(path) {
                return Met::Dir { entry: Entry::new(path, Kind::Dir), opaque: true };
            }
            Met::Whiteout
        }
        Kind::Dir => Met::Dir { entry: found.entry.clone(), opaque: toc.is_opaque(path) },
        Kind::File | Kind::Hardlink => match resolved(toc, path) {
            Some(file) => {
                let entry = Entry { path: path.to_vec(), ..file.entry.clone() };
                let stored = Stored::new(file);
                let bare = entry.kind != Kind::File;
                let place = match bare {
                    true => Place::Bare { layer: index },
                    false => {
                        let shared = (file.entry.path != path).then(|| file.entry.path.as_slice().into());
                        Place::Blob { layer: index, stored, content: file.content, shared }
                    }
                };
                Met::Other { entry, place }
            }
            None => Met::Absent,
        },
        _ => Met::Other { entry: found.entry.clone(), place: Place::Bare { layer: index } },
    }
}

/// The record of the file that `path` names, be it by a further name.
fn resolved<'a>(toc: &'a Toc, path: &[u8]) -> Option<&'a TocEntry> {
    let mut found = toc.lookup(path)?;
    for _ in 0..MAX_HARDLINKS {
        if found.entry.kind != Kind::Hardlink {
            return Some(found);
        }
        found = toc.lookup(&found.entry.link)?;
    }
    None
}
