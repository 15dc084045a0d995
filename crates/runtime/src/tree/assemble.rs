//! From a tree and a tar split to the tar that both came from.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use layer::{Extent, Piece, SplitError, SplitReader};
use oci::DiffId;
use sys::{OpenFlags, Root};

use super::LinkParents;
use super::apply::shown;
use super::dirs::{Dirs, split};
use super::pipeline::Pipeline;
use super::special::name;

/// How much of a file is held at a time.
const CHUNK: usize = 256 * 1024;

/// Why a tar cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The split is damaged, or says that the tree lacks something.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A file of the tree could not be read.
    #[error("read {path}: {source}")]
    Read {
        /// Path in the tree.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file has another length than it had in the tar.
    #[error("`{path}` changed since it was unpacked: {found} instead of {expected} bytes")]
    Changed {
        /// Path in the tree.
        path: String,
        /// In the tar.
        expected: u64,
        /// In the tree, at least or at most.
        found: u64,
    },
    /// The tar could not be stored.
    #[error("write layer: {0}")]
    Sink(#[source] io::Error),
}

/// Writes the tar of which [`super::unpack_recorded`] made `tree` and the split, byte for byte.
///
/// The tree is believed: who needs to be sure compares the DiffId. Gives back that, the length, and the sink.
pub fn assemble<W: Write + Send + 'static>(
    record: impl Read,
    tree: &Root,
    sink: W,
) -> Result<(DiffId, u64, W), AssembleError> {
    let mut reader = SplitReader::new(record)?;
    let failed = |source: sys::Error| AssembleError::Read { path: ".".into(), source: source.into() };
    let mut assembler = Assembler {
        dirs: Dirs::new(tree.try_clone().map_err(failed)?, LinkParents::Follow),
        tar: Pipeline::new(sink, None),
        buffer: vec![0; CHUNK],
    };
    while let Some(piece) = reader.next_piece()? {
        match piece {
            Piece::Bytes(bytes) => assembler.tar.write_all(bytes).map_err(AssembleError::Sink)?,
            Piece::Zeros(count) => assembler.zeros(count)?,
            Piece::File { path, size } => assembler.file(path, size)?,
            Piece::Runs { path, extents } => assembler.runs(path, extents)?,
        }
    }
    let end = assembler.tar.finish().map_err(AssembleError::Sink)?;
    Ok((DiffId::new(end.digest), end.size, end.sink))
}

struct Assembler<W: Write + Send + 'static> {
    dirs: Dirs,
    tar: Pipeline<W>,
    buffer: Vec<u8>,
}

impl<W: Write + Send + 'static> Assembler<W> {
    fn zeros(&mut self, count: u64) -> Result<(), AssembleError> {
        io::copy(&mut io::repeat(0).take(count), &mut self.tar).map(drop).map_err(AssembleError::Sink)
    }

    fn open(&mut self, path: &[u8]) -> Result<File, AssembleError> {
        let (parent, last) = split(path);
        // Something else may stand there by now: not to hang on a pipe.
        let flags = OpenFlags::RDONLY | OpenFlags::NOFOLLOW | OpenFlags::NONBLOCK;
        let opened = self.dirs.open(parent).and_then(|dir| dir.open_file(name(last), flags));
        opened.map_err(|source| AssembleError::Read { path: shown(path), source: source.into() })
    }

    fn file(&mut self, path: &[u8], size: u64) -> Result<(), AssembleError> {
        let mut file = self.open(path)?;
        let mut left = size;
        while left > 0 {
            // Where there is room for more than is left, a file that grew is noticed.
            let count = match file.read(&mut self.buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(AssembleError::Read { path: shown(path), source }),
            };
            if count == 0 || count as u64 > left {
                let found = size - left + count as u64;
                return Err(AssembleError::Changed { path: shown(path), expected: size, found });
            }
            self.tar.write_all(&self.buffer[..count]).map_err(AssembleError::Sink)?;
            left -= count as u64;
        }
        Ok(())
    }

    fn runs(&mut self, path: &[u8], extents: &[Extent]) -> Result<(), AssembleError> {
        let file = self.open(path)?;
        for extent in extents {
            let mut done = 0;
            while done < extent.length {
                let most = usize::try_from(extent.length - done).unwrap_or(CHUNK).min(CHUNK);
                let found = extent.offset + done;
                let count = match file.read_at(&mut self.buffer[..most], found) {
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(source) => return Err(AssembleError::Read { path: shown(path), source }),
                };
                if count == 0 {
                    let expected = extent.offset + extent.length;
                    return Err(AssembleError::Changed { path: shown(path), expected, found });
                }
                self.tar.write_all(&self.buffer[..count]).map_err(AssembleError::Sink)?;
                done += count as u64;
            }
        }
        Ok(())
    }
}
