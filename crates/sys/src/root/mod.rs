//! A directory that no path escapes.

mod names;
mod remove;
mod resolve;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::Mode;
/// `O_*` flags of [`Root::open_file`].
pub use rustix::fs::OFlags as OpenFlags;
use rustix::io::Errno;

use crate::dirents::Dirents;
use crate::{Error, Result, stat};
pub use resolve::Parent;

/// A directory, held by descriptor, inside which every path is resolved as if it were `/`.
///
/// Links that stand *before* the last component of a path are followed, but within this directory; `..` stops at it
/// (openat2 with `RESOLVE_IN_ROOT` and `RESOLVE_NO_MAGICLINKS`). The last component is never followed, except by
/// [`Root::open_file`] without `NOFOLLOW`, [`Root::open_regular`], [`Root::open_dir`] and [`Root::read_dir`]. What
/// another process renames meanwhile may change which file inside is meant, never that it is inside.
///
/// Paths may begin with `/` (this directory); `""`, `.` and `/` mean the directory itself. A path is resolved in one
/// call, so one longer than `PATH_MAX` is ENAMETOOLONG; only [`Root::remove_all`] goes deeper. Modes given to calls
/// that make something are subject to the umask.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// The directory at `path`, which the process' own root and working directory resolve, links followed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let flags = OpenFlags::RDONLY | OpenFlags::DIRECTORY | OpenFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self { fd }),
            Err(errno) => Err(Error::new("open", path, errno)),
        }
    }

    /// Takes a descriptor of a directory (`O_PATH` does, except that listing it needs one open for reading).
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// The descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// The same directory once more.
    pub fn try_clone(&self) -> Result<Self> {
        let fd = self.fd.try_clone().map_err(|error| Error::from_io("dup", "", &error))?;
        Ok(Self { fd })
    }

    /// Opens a file, following links within this directory unless `flags` have `NOFOLLOW`.
    ///
    /// Opening what another made may hang on a fifo or wake a device: see [`Root::open_regular`].
    pub fn open_file(&self, path: impl AsRef<Path>, flags: OpenFlags) -> Result<File> {
        let mode = if flags.contains(OpenFlags::CREATE) { Mode::from_raw_mode(0o666) } else { Mode::empty() };
        // openat2 refuses flags that mean nothing beside O_PATH.
        let tty = if flags.contains(OpenFlags::PATH) { OpenFlags::empty() } else { OpenFlags::NOCTTY };
        self.resolve(path.as_ref(), flags | tty, mode).map(File::from)
    }

    /// Opens a regular file for reading, following links within this directory; EINVAL for anything else.
    pub fn open_regular(&self, path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        let file = self.open_file(path, OpenFlags::RDONLY | OpenFlags::NONBLOCK)?;
        if stat::of(&file).map_err(|error| error.at(path))?.is_file() {
            Ok(file)
        } else {
            Err(Error::new("open", path, Errno::INVAL))
        }
    }

    /// A directory inside, as a root of its own: links in it can't lead above it.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> Result<Root> {
        let flags = OpenFlags::RDONLY | OpenFlags::DIRECTORY;
        self.resolve(path.as_ref(), flags, Mode::empty()).map(Self::from_fd)
    }

    /// As [`Root::open_dir`], but ELOOP or ENOTDIR where the last component is a link.
    pub fn open_dir_nofollow(&self, path: impl AsRef<Path>) -> Result<Root> {
        let flags = OpenFlags::RDONLY | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
        self.resolve(path.as_ref(), flags, Mode::empty()).map(Self::from_fd)
    }

    /// Lists a directory, following links within this one.
    pub fn read_dir(&self, path: impl AsRef<Path>) -> Result<Dirents> {
        // Opened anew each time: a listing has its own offset.
        self.open_dir(path).map(|dir| Dirents::new(dir.fd))
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
