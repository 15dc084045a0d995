//! What can be done to the last component of a path, without following it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::{OpenFlags, Parent, Root};
use crate::{Error, Result, Stat, Timestamp, stat, xattr};

/// The mode bits a file may be made with.
const PERMISSIONS: u32 = 0o7777;

impl Root {
    /// Makes a file and opens it for reading and writing. With `exclusive` it must be new; else what is there, if it
    /// is no link, is truncated.
    pub fn create(&self, path: impl AsRef<Path>, mode: u32, exclusive: bool) -> Result<File> {
        let how = if exclusive { OpenFlags::EXCL } else { OpenFlags::TRUNC };
        let flags = OpenFlags::RDWR | OpenFlags::CREATE | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC | how;
        self.on_name("openat", path.as_ref(), |at| {
            rustix::fs::openat(at.dir(), at.name(), flags | OpenFlags::NOCTTY, permissions(mode)).map(File::from)
        })
    }

    /// Makes a directory; EEXIST where anything is.
    pub fn mkdir(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        self.on_name("mkdirat", path.as_ref(), |at| rustix::fs::mkdirat(at.dir(), at.name(), permissions(mode)))
    }

    /// Makes a directory and what is missing above it, all with `mode`; fine where it is, or a link leads to one.
    pub fn mkdir_all(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        let path = path.as_ref();
        match self.resolve(path, OpenFlags::PATH | OpenFlags::DIRECTORY, Mode::empty()) {
            Err(error) if error.is_not_found() => {}
            other => return other.map(drop),
        }
        // Only a way down that ends early: usually all but the last one or two are there.
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.mkdir_all(parent, mode)?;
        }
        match self.mkdir(path, mode) {
            Err(error) if error.errno() == Errno::EXIST => {
                self.resolve(path, OpenFlags::PATH | OpenFlags::DIRECTORY, Mode::empty()).map(drop)
            }
            other => other,
        }
    }

    /// Makes a symbolic link at `path`; its target is taken as it is.
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
        self.on_name("symlinkat", path.as_ref(), |at| rustix::fs::symlinkat(target.as_ref(), at.dir(), at.name()))
    }

    /// Gives `existing` (the link itself, if it is one) the further name `path`.
    pub fn hardlink(&self, existing: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
        let from = self.resolve_parent(existing)?;
        self.on_name("linkat", path.as_ref(), |at| {
            rustix::fs::linkat(from.dir(), from.name(), at.dir(), at.name(), AtFlags::empty())
        })
    }

    /// Makes a node of the kind that the `S_IFMT` bits of `mode` say, with major and minor number.
    pub fn mknod(&self, path: impl AsRef<Path>, mode: u32, rdev: (u32, u32)) -> Result<()> {
        let kind = rustix::fs::FileType::from_raw_mode(mode);
        let device = rustix::fs::makedev(rdev.0, rdev.1);
        self.on_name("mknodat", path.as_ref(), |at| {
            rustix::fs::mknodat(at.dir(), at.name(), kind, permissions(mode), device)
        })
    }

    /// Makes a named pipe.
    pub fn mkfifo(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        self.mknod(path, libc::S_IFIFO | (mode & PERMISSIONS), (0, 0))
    }

    /// Renames, replacing what the kernel lets be replaced.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let old = self.resolve_parent(from)?;
        self.on_name("renameat", to.as_ref(), |at| rustix::fs::renameat(old.dir(), old.name(), at.dir(), at.name()))
    }

    /// Renames `from` to `to` under another root on the same file system.
    pub fn rename_into(&self, from: impl AsRef<Path>, other: &Root, to: impl AsRef<Path>) -> Result<()> {
        let new = other.resolve_parent(to)?;
        self.on_name("renameat", from.as_ref(), |at| rustix::fs::renameat(at.dir(), at.name(), new.dir(), new.name()))
    }

    /// Removes a file or an empty directory.
    pub fn remove(&self, path: impl AsRef<Path>) -> Result<()> {
        self.on_name("unlinkat", path.as_ref(), |at| {
            match rustix::fs::unlinkat(at.dir(), at.name(), AtFlags::empty()) {
                Err(Errno::ISDIR) => rustix::fs::unlinkat(at.dir(), at.name(), AtFlags::REMOVEDIR),
                other => other,
            }
        })
    }

    /// The metadata of what `path` names; of the link itself, if it is one.
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Stat> {
        let path = path.as_ref();
        let at = self.resolve_parent(path)?;
        stat::at(at.dir(), Path::new(at.name())).map_err(|error| error.at(path))
    }

    /// Whether `path` names anything, be it a link that leads nowhere.
    pub fn exists(&self, path: impl AsRef<Path>) -> Result<bool> {
        match self.stat(path) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The target of a symbolic link.
    pub fn readlink(&self, path: impl AsRef<Path>) -> Result<OsString> {
        self.on_name("readlinkat", path.as_ref(), |at| rustix::fs::readlinkat(at.dir(), at.name(), Vec::new()))
            .map(|target| OsString::from_vec(target.into_bytes()))
    }

    /// Changes owner and group; of the link itself, if it is one.
    pub fn chown(&self, path: impl AsRef<Path>, uid: u32, gid: u32) -> Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        self.on_name("fchownat", path.as_ref(), |at| {
            rustix::fs::chownat(at.dir(), at.name(), uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// Changes the permissions; EOPNOTSUPP for a link.
    pub fn chmod(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        self.on_name("fchmodat2", path.as_ref(), |at| chmod(at, mode))
    }

    /// Sets access and modification time; of the link itself, if it is one.
    pub fn utimens(&self, path: impl AsRef<Path>, atime: Timestamp, mtime: Timestamp) -> Result<()> {
        let spec = |t: Timestamp| Timespec { tv_sec: t.seconds, tv_nsec: t.nanoseconds.into() };
        let times = Timestamps { last_access: spec(atime), last_modification: spec(mtime) };
        self.on_name("utimensat", path.as_ref(), |at| {
            rustix::fs::utimensat(at.dir(), at.name(), &times, AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// One extended attribute; `None` where it isn't set or the file system has none.
    pub fn get_xattr(&self, path: impl AsRef<Path>, name: impl AsRef<OsStr>) -> Result<Option<Vec<u8>>> {
        let path = path.as_ref();
        let at = self.resolve_parent(path)?;
        xattr::get_at(at.dir(), at.name(), name.as_ref()).map_err(|error| error.at(path))
    }

    /// Sets an extended attribute.
    pub fn set_xattr(&self, path: impl AsRef<Path>, name: impl AsRef<OsStr>, value: &[u8]) -> Result<()> {
        let path = path.as_ref();
        let at = self.resolve_parent(path)?;
        xattr::set_at(at.dir(), at.name(), name.as_ref(), value).map_err(|error| error.at(path))
    }

    /// Removes an extended attribute; fine where it isn't set.
    pub fn remove_xattr(&self, path: impl AsRef<Path>, name: impl AsRef<OsStr>) -> Result<()> {
        let path = path.as_ref();
        let at = self.resolve_parent(path)?;
        xattr::remove_at(at.dir(), at.name(), name.as_ref()).map_err(|error| error.at(path))
    }

    /// The names of the extended attributes, as the file system orders them; none where it has no such thing.
    pub fn list_xattrs(&self, path: impl AsRef<Path>) -> Result<Vec<OsString>> {
        let path = path.as_ref();
        let at = self.resolve_parent(path)?;
        xattr::list_at(at.dir(), at.name()).map_err(|error| error.at(path))
    }

    fn on_name<T>(
        &self,
        call: &'static str,
        path: &Path,
        act: impl FnOnce(&Parent<'_>) -> std::result::Result<T, Errno>,
    ) -> Result<T> {
        let at = self.resolve_parent(path)?;
        act(&at).map_err(|errno| Error::new(call, path, errno))
    }
}

fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & PERMISSIONS)
}

/// fchmodat2 without following; before Linux 6.6, by way of an `O_PATH` descriptor.
fn chmod(at: &Parent<'_>, mode: u32) -> std::result::Result<(), Errno> {
    match xattr::fchmodat2(at.dir(), at.name(), mode & PERMISSIONS) {
        Err(Errno::NOSYS | Errno::PERM) => {}
        other => return other,
    }
    let flags = OpenFlags::PATH | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC;
    let fd = rustix::fs::openat(at.dir(), at.name(), flags, Mode::empty())?;
    if stat::of(&fd).map_err(|error| error.errno())?.is_symlink() {
        return Err(Errno::OPNOTSUPP);
    }
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::chmod(link.as_str(), permissions(mode))
}
