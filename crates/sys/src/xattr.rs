//! Extended attributes, of what a descriptor or a (directory, name) pair names; links are never followed.
//!
//! By name they go through `/proc/self/fd/<directory>/<name>`, as there was no `getxattrat` before Linux 6.13.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::{Error, Result};

/// Enough for nearly every value and list, so that one call does.
const USUAL: usize = 512;
/// The kernel's limit for a value or a list (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const LIMIT: usize = 64 * 1024;

/// One attribute of `name` in `dir`; `None` where it isn't set or the file system has none.
pub fn get_at(dir: BorrowedFd<'_>, name: &OsStr, attribute: &OsStr) -> Result<Option<Vec<u8>>> {
    let path = proc_path(dir, name);
    optional("lgetxattr", name, read(|buffer| rustix::fs::lgetxattr(path.as_os_str(), attribute, buffer)))
}

/// One attribute of an open file; `None` where it isn't set or the file system has none.
pub fn get(fd: impl AsFd, attribute: &OsStr) -> Result<Option<Vec<u8>>> {
    optional("fgetxattr", attribute, read(|buffer| rustix::fs::fgetxattr(&fd, attribute, buffer)))
}

/// Sets an attribute of `name` in `dir`.
pub fn set_at(dir: BorrowedFd<'_>, name: &OsStr, attribute: &OsStr, value: &[u8]) -> Result<()> {
    let path = proc_path(dir, name);
    rustix::fs::lsetxattr(path.as_os_str(), attribute, value, XattrFlags::empty())
        .map_err(|errno| Error::new("lsetxattr", name, errno))
}

/// Sets an attribute of an open file.
pub fn set(fd: impl AsFd, attribute: &OsStr, value: &[u8]) -> Result<()> {
    rustix::fs::fsetxattr(&fd, attribute, value, XattrFlags::empty())
        .map_err(|errno| Error::new("fsetxattr", attribute, errno))
}

/// Removes an attribute of `name` in `dir`; fine where it isn't set.
pub fn remove_at(dir: BorrowedFd<'_>, name: &OsStr, attribute: &OsStr) -> Result<()> {
    let path = proc_path(dir, name);
    match rustix::fs::lremovexattr(path.as_os_str(), attribute) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(Error::new("lremovexattr", name, errno)),
    }
}

/// The names of the attributes of `name` in `dir`; none where the file system has no such thing.
pub fn list_at(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Vec<OsString>> {
    let path = proc_path(dir, name);
    optional("llistxattr", name, read(|buffer| rustix::fs::llistxattr(path.as_os_str(), buffer))).map(names)
}

/// The names of the attributes of an open file; none where the file system has no such thing.
pub fn list(fd: impl AsFd) -> Result<Vec<OsString>> {
    optional("flistxattr", OsStr::new(""), read(|buffer| rustix::fs::flistxattr(&fd, buffer))).map(names)
}

/// fchmodat2 (Linux 6.6) without following a link; ENOSYS before.
pub(crate) fn fchmodat2(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> std::result::Result<(), Errno> {
    let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
    // SAFETY: `name` is a C string that lives through the call.
    let result =
        unsafe { libc::syscall(libc::SYS_fchmodat2, dir.as_raw_fd(), name.as_ptr(), mode, libc::AT_SYMLINK_NOFOLLOW) };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

fn proc_path(dir: BorrowedFd<'_>, name: &OsStr) -> OsString {
    let mut path = OsString::from(format!("/proc/self/fd/{}/", dir.as_raw_fd()));
    path.push(name);
    path
}

fn read(call: impl Fn(&mut [u8]) -> std::result::Result<usize, Errno>) -> std::result::Result<Vec<u8>, Errno> {
    let mut usual = [0; USUAL];
    match call(&mut usual) {
        Ok(length) => return Ok(usual[..length].to_vec()),
        Err(Errno::RANGE) => {}
        Err(errno) => return Err(errno),
    }
    let mut large = vec![0; LIMIT];
    let length = call(&mut large)?;
    large.truncate(length);
    Ok(large)
}

fn optional(call: &'static str, name: &OsStr, result: std::result::Result<Vec<u8>, Errno>) -> Result<Option<Vec<u8>>> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(Error::new(call, name, errno)),
    }
}

fn names(list: Option<Vec<u8>>) -> Vec<OsString> {
    let list = list.unwrap_or_default();
    list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(|name| OsStr::from_bytes(name).into()).collect()
}
