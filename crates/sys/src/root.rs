//! A directory that no path escapes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::dirents::Dirents;
use crate::{Result, Stat, Timestamp};

/// `O_*` flags of [`Root::open_file`].
pub use rustix::fs::OFlags as OpenFlags;

/// A directory, held by descriptor, inside which every path is resolved as if it were `/`.
///
/// Links that stand *before* the last component of a path are followed, but within this directory; `..` stops at it
/// (openat2 with `RESOLVE_IN_ROOT` and `RESOLVE_NO_MAGICLINKS`). The last component is never followed, except by
/// [`Root::open_file`] without `NOFOLLOW` and [`Root::open_dir`]. What another process renames meanwhile may change
/// which file inside is meant, never that it is inside. Modes are subject to the umask where the kernel applies it.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

/// The directory in which the last component of a path lives, and that component.
#[derive(Debug)]
pub struct Parent<'a> {
    dir: Dir<'a>,
    name: OsString,
}

#[derive(Debug)]
enum Dir<'a> {
    Borrowed(BorrowedFd<'a>),
    Owned(OwnedFd),
}

#[allow(unused_variables, missing_docs)]
impl Root {
    pub fn open(path: impl AsRef<Path>) -> Result<Self> { todo!() }
    pub fn from_fd(fd: OwnedFd) -> Self { Self { fd } }
    pub fn into_fd(self) -> OwnedFd { self.fd }
    pub fn try_clone(&self) -> Result<Self> { todo!() }
    /// follows links, within the root
    pub fn open_file(&self, path: impl AsRef<Path>, flags: OpenFlags) -> Result<File> { todo!() }
    pub fn open_dir(&self, path: impl AsRef<Path>) -> Result<Root> { todo!() }
    pub fn resolve_parent(&self, path: impl AsRef<Path>) -> Result<Parent<'_>> { todo!() }
    /// O_CREAT|O_EXCL (exclusive) or O_CREAT|O_TRUNC|O_NOFOLLOW, read-write
    pub fn create(&self, path: impl AsRef<Path>, mode: u32, exclusive: bool) -> Result<File> { todo!() }
    pub fn mkdir(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> { todo!() }
    pub fn mkdir_all(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> { todo!() }
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> { todo!() }
    pub fn hardlink(&self, existing: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> { todo!() }
    /// `mode` has the S_IFMT bits
    pub fn mknod(&self, path: impl AsRef<Path>, mode: u32, rdev: (u32, u32)) -> Result<()> { todo!() }
    pub fn mkfifo(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> { todo!() }
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> { todo!() }
    /// a file or an empty directory
    pub fn remove(&self, path: impl AsRef<Path>) -> Result<()> { todo!() }
    /// anything, with all below; Ok if absent
    pub fn remove_all(&self, path: impl AsRef<Path>) -> Result<()> { todo!() }
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Stat> { todo!() }
    pub fn exists(&self, path: impl AsRef<Path>) -> Result<bool> { todo!() }
    pub fn readlink(&self, path: impl AsRef<Path>) -> Result<OsString> { todo!() }
    pub fn chown(&self, path: impl AsRef<Path>, uid: u32, gid: u32) -> Result<()> { todo!() }
    /// never of a link
    pub fn chmod(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> { todo!() }
    pub fn utimens(&self, path: impl AsRef<Path>, atime: Timestamp, mtime: Timestamp) -> Result<()> { todo!() }
    pub fn get_xattr(&self, path: impl AsRef<Path>, name: &OsStr) -> Result<Option<Vec<u8>>> { todo!() }
    pub fn set_xattr(&self, path: impl AsRef<Path>, name: &OsStr, value: &[u8]) -> Result<()> { todo!() }
    pub fn remove_xattr(&self, path: impl AsRef<Path>, name: &OsStr) -> Result<()> { todo!() }
    pub fn list_xattrs(&self, path: impl AsRef<Path>) -> Result<Vec<OsString>> { todo!() }
    /// follows links, within the root
    pub fn read_dir(&self, path: impl AsRef<Path>) -> Result<Dirents> { todo!() }
}

impl Parent<'_> {
    /// The directory.
    pub fn dir(&self) -> BorrowedFd<'_> {
        match &self.dir {
            Dir::Borrowed(fd) => *fd,
            Dir::Owned(fd) => fd.as_fd(),
        }
    }

    /// The last component.
    pub fn name(&self) -> &OsStr {
        &self.name
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
