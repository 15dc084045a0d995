//! From a path to a descriptor, without leaving the root.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, ResolveFlags};
use rustix::io::Errno;

use super::{OpenFlags, Root};
use crate::{Error, Result};

/// How often to resolve a path again of which the kernel says EAGAIN: something was renamed while it held a `..`.
/// Someone who renames in a loop can keep this up; nobody else does.
const ATTEMPTS: usize = 256;

/// The directory in which the last component of a path lives, and that component.
///
/// The name is one component, or `.` where the path names a directory by `.`, `..` or nothing.
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

impl Parent<'_> {
    /// The directory; maybe an `O_PATH` descriptor.
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

impl Root {
    /// Resolves everything but the last component of `path`.
    ///
    /// For a run of calls in one directory, [`Root::open_dir`] once and single names afterwards spare the resolving:
    /// a path of one component needs none.
    pub fn resolve_parent(&self, path: impl AsRef<Path>) -> Result<Parent<'_>> {
        let path = path.as_ref();
        let (before, last) = split(path.as_os_str().as_bytes());
        let (before, name): (&[u8], &[u8]) = match last {
            // `a/..` is a directory, and its parent is not `a`: only the kernel knows which one it is.
            b".." => (path.as_os_str().as_bytes(), b"."),
            b"" => (b"", b"."),
            _ => (before, last),
        };
        let dir = if before.is_empty() {
            Dir::Borrowed(self.fd.as_fd())
        } else {
            let flags = OpenFlags::PATH | OpenFlags::DIRECTORY;
            let before = Path::new(OsStr::from_bytes(before));
            Dir::Owned(self.resolve(before, flags, Mode::empty()).map_err(|error| error.at(path))?)
        };
        Ok(Parent { dir, name: OsStr::from_bytes(name).to_owned() })
    }

    pub(super) fn resolve(&self, path: &Path, flags: OpenFlags, mode: Mode) -> Result<OwnedFd> {
        let resolved = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = flags | OpenFlags::CLOEXEC;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..ATTEMPTS {
            match rustix::fs::openat2(&self.fd, resolved, flags, mode, how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(Error::new("openat2", path, errno)),
                Ok(fd) => return Ok(fd),
            }
        }
        Err(Error::new("openat2", path, Errno::AGAIN))
    }
}

/// What stands before the last component, and that component: without slashes, `.` at the end left out.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let mut path = path;
    loop {
        while let [before @ .., b'/'] = path {
            path = before;
        }
        match path {
            b"." => return (b"", b""),
            [before @ .., b'/', b'.'] => path = before,
            _ => break,
        }
    }
    match path.iter().rposition(|byte| *byte == b'/') {
        // The root itself stands before `/name`: nothing to resolve.
        Some(at) if path[..at].iter().all(|byte| *byte == b'/') => (b"", &path[at + 1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn splits_before_the_last_component() {
        let cases: [(&str, (&str, &str)); 11] = [
            ("", ("", "")),
            (".", ("", "")),
            ("/", ("", "")),
            ("//./", ("", "")),
            ("a", ("", "a")),
            ("/a", ("", "a")),
            ("a/b/", ("a", "b")),
            ("a/b/./.", ("a", "b")),
            ("a/..", ("a", "..")),
            ("..", ("", "..")),
            ("//a//b", ("//a/", "b")),
        ];
        for (path, (before, last)) in cases {
            assert_eq!(split(path.as_bytes()), (before.as_bytes(), last.as_bytes()), "{path}");
        }
    }
}
