//! From a tree to the canonical tar.

use std::fs::File;
use std::io::{self, Write};

use layer::{Entry, Kind, Toc};
use oci::Digest;
use sys::{OpenFlags, Root};

use super::apply::shown;
use super::dirs::{Dirs, split};
use super::special::name;
use super::walk::Walk;
use super::{BuildError, Built, LayerBuilder, LinkParents, WalkError, WalkOptions};

/// How a tree becomes a tar.
#[derive(Debug, Clone, Default)]
pub struct StreamOptions<'a> {
    /// How the tree is read.
    pub walk: WalkOptions<'a>,
    /// No time in the tar after this one: later ones become it.
    pub clamp: Option<i64>,
    /// An earlier record of this tree: the digests of contents are taken from it where path, size and time agree.
    pub known: Option<&'a Toc>,
}

/// Why a tree cannot be streamed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The tree could not be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The layer could not be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A file that the record names could not be opened.
    #[error("read {path}: {source}")]
    Open {
        /// Path in the tree.
        path: String,
        /// The call that failed.
        source: sys::Error,
    },
    /// A layer's tar could not be read.
    #[error(transparent)]
    Read(#[from] layer::ReadError),
}

/// Writes the canonical tar of the layer tree `upper`: sorted, one read per byte, contents hashed on the way.
///
/// An empty layer has an empty record ([`Built::toc`]).
pub fn stream<W: Write + Send + 'static>(
    upper: &Root,
    options: &StreamOptions<'_>,
    sink: W,
) -> Result<(Built, W), StreamError> {
    let mut walk = Walk::new(upper, options.walk.clone())?;
    let mut builder = LayerBuilder::new(sink).clamp(options.clamp);
    while let Some((entry, file)) = walk.next_entry()? {
        let known = options.known.and_then(|toc| known_digest(toc, &entry));
        append(&mut builder, entry, file, known)?;
    }
    Ok(builder.finish()?)
}

/// Writes the same tar again from its record, without walking the tree: of `tree`, only files' contents are read.
pub fn replay<W: Write + Send + 'static>(
    toc: &Toc,
    tree: &Root,
    clamp: Option<i64>,
    sink: W,
) -> Result<(Built, W), StreamError> {
    let failed = |path: &[u8], source| StreamError::Open { path: shown(path), source };
    let top = tree.try_clone().map_err(|source| failed(b".", source))?;
    let mut dirs = Dirs::new(top, LinkParents::Refuse);
    let mut builder = LayerBuilder::new(sink).clamp(clamp);
    for record in toc.entries() {
        let entry = record.entry.clone();
        let file = match entry.kind {
            Kind::File => Some(open(&mut dirs, &entry.path).map_err(|source| failed(&entry.path, source))?),
            _ => None,
        };
        append(&mut builder, entry, file, record.content)?;
    }
    Ok(builder.finish()?)
}

fn open(dirs: &mut Dirs, path: &[u8]) -> sys::Result<File> {
    let (parent, last) = split(path);
    let flags = OpenFlags::RDONLY | OpenFlags::NOFOLLOW | OpenFlags::NONBLOCK;
    dirs.open(parent)?.open_file(name(last), flags)
}

fn append<W: Write + Send + 'static>(
    builder: &mut LayerBuilder<W>,
    entry: Entry,
    file: Option<File>,
    known: Option<Digest>,
) -> Result<(), BuildError> {
    match file {
        Some(mut file) => builder.append(entry, &mut file, known)?,
        None => builder.append(entry, &mut io::empty(), None)?,
    };
    Ok(())
}

fn known_digest(toc: &Toc, entry: &Entry) -> Option<Digest> {
    let record = toc.lookup(&entry.path).filter(|_| entry.kind == Kind::File)?;
    let same = |known: &Entry| (known.kind, known.size, known.mtime) == (entry.kind, entry.size, entry.mtime);
    record.content.filter(|_| same(&record.entry))
}
