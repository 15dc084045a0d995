//! What an image archive is written to: a tar, or a folder.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use layer::{Entry, Kind, TarWriter};

use super::ExportError;
use super::replacing::{Out, Replacing};
use crate::Destination;

/// Writes to a disk go in pieces of this size.
const BUFFER: usize = 1 << 20;

/// An archive in the making: one member after another. What is written goes to the member begun last.
pub(crate) enum Bundle {
    /// One file or stream.
    Tar {
        /// Its writer.
        tar: TarWriter<Out>,
        /// Puts the file in place, if it is one.
        place: Option<Replacing>,
        /// Folders that have their entry.
        folders: BTreeSet<String>,
    },
    /// A folder.
    Folder {
        /// Where.
        dir: PathBuf,
        /// The member being written.
        open: Option<(File, Replacing)>,
    },
}

impl Bundle {
    /// A tar at `dest`.
    pub(crate) fn tar(dest: &Destination) -> Result<Self, ExportError> {
        let (out, place) = open(dest)?;
        Ok(Self::Tar { tar: TarWriter::new(out), place, folders: BTreeSet::new() })
    }

    /// The folder `dir`, made where it is missing.
    pub(super) fn folder(dir: &Path) -> Result<Self, ExportError> {
        fs::create_dir_all(dir).map_err(|source| ExportError::io("mkdir", dir, source))?;
        Ok(Self::Folder { dir: dir.to_path_buf(), open: None })
    }

    /// Whether a folder has the member with this size already: members named by digest never change.
    pub(super) fn has(&self, path: &str, size: u64) -> bool {
        match self {
            Self::Tar { .. } => false,
            Self::Folder { dir, .. } => fs::metadata(dir.join(path)).is_ok_and(|found| found.len() == size),
        }
    }

    /// Begins a member of `size` bytes.
    pub(crate) fn begin(&mut self, path: &str, size: u64) -> Result<(), ExportError> {
        match self {
            Self::Tar { tar, folders, .. } => {
                for (at, _) in path.match_indices('/') {
                    if folders.insert(path[..at].to_owned()) {
                        tar.begin(&Entry::new(&path.as_bytes()[..at], Kind::Dir))?;
                    }
                }
                let mut entry = Entry::new(path, Kind::File);
                entry.size = size;
                tar.begin(&entry)?;
            }
            Self::Folder { dir, open } => {
                let target = dir.join(path);
                let parent = target.parent().unwrap_or(dir);
                fs::create_dir_all(parent).map_err(|source| ExportError::io("mkdir", parent, source))?;
                let (place, file) = Replacing::open(&target)?;
                *open = Some((file, place));
            }
        }
        Ok(())
    }

    /// Ends the member.
    pub(crate) fn end(&mut self) -> Result<(), ExportError> {
        match self {
            Self::Tar { .. } => Ok(()),
            Self::Folder { open, .. } => open.take().map_or(Ok(()), |(_, place)| place.commit()),
        }
    }

    /// A small member.
    pub(crate) fn bytes(&mut self, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
        self.begin(path, bytes.len() as u64)?;
        self.write_all(bytes).map_err(|source| ExportError::io("write", Path::new(path), source))?;
        self.end()
    }

    /// Ends the archive.
    pub(crate) fn finish(self) -> Result<(), ExportError> {
        match self {
            Self::Tar { tar, place, .. } => close(tar.finish()?, place),
            Self::Folder { .. } => Ok(()),
        }
    }

    /// As [`Self::finish`], on the disk before the name is there.
    pub(crate) fn finish_durably(self) -> Result<(), ExportError> {
        match self {
            Self::Tar { tar, place, .. } => {
                let mut out = tar.finish()?;
                out.flush().map_err(|source| ExportError::io("write", Path::new("the archive"), source))?;
                drop(out);
                place.map_or(Ok(()), Replacing::commit_durably)
            }
            Self::Folder { .. } => Ok(()),
        }
    }
}

impl Write for Bundle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tar { tar, .. } => tar.data(bytes).map_err(io::Error::other).map(|()| bytes.len()),
            Self::Folder { open: Some((file, _)), .. } => file.write(bytes),
            Self::Folder { open: None, .. } => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a destination.
pub(super) fn open(dest: &Destination) -> Result<(Out, Option<Replacing>), ExportError> {
    match dest {
        // The command line has made sure that it is not a terminal. A descriptor of its own: no lock, no line buffer.
        Destination::Stdout => {
            use std::os::fd::AsFd as _;
            let fd = io::stdout().as_fd().try_clone_to_owned();
            let fd = fd.map_err(|source| ExportError::io("dup", Path::new("standard output"), source))?;
            Ok((Box::new(BufWriter::with_capacity(BUFFER, File::from(fd))), None))
        }
        // A pipe or a device is written to, not replaced.
        Destination::Path(path) if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) => {
            let file =
                File::options().write(true).open(path).map_err(|source| ExportError::io("open", path, source))?;
            Ok((Box::new(BufWriter::with_capacity(BUFFER, file)), None))
        }
        Destination::Path(path) => {
            let (place, file) = Replacing::open(path)?;
            Ok((Box::new(BufWriter::with_capacity(BUFFER, file)), Some(place)))
        }
    }
}

/// Flushes a destination and puts it in place.
pub(super) fn close(mut out: Out, place: Option<Replacing>) -> Result<(), ExportError> {
    out.flush().map_err(|source| ExportError::io("write", Path::new("the archive"), source))?;
    drop(out);
    place.map_or(Ok(()), Replacing::commit)
}
