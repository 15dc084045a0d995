//! Mounts by descriptor: made detached, then attached to a place that is a descriptor too.

mod older;

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::CWD;
pub use rustix::mount::MountAttrFlags as Attributes;
use rustix::mount::{FsMountFlags, FsOpenFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

use crate::{Error, Result};

/// One setting of a file system to be.
#[derive(Debug, Clone, Copy)]
pub enum Setting<'a> {
    /// `key`
    Flag(&'a str),
    /// `key=value`
    Text(&'a str, &'a str),
    /// `key=` a path
    Path(&'a str, &'a Path),
    /// `key=` an open directory
    Dir(&'a str, BorrowedFd<'a>),
}

/// A new instance of a file system, attached nowhere.
pub fn new(kind: &'static str, settings: &[Setting<'_>], attributes: Attributes) -> Result<OwnedFd> {
    let failed = |call| move |errno| Error::new(call, kind, errno);
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen"))?;
    for setting in settings {
        let done = match *setting {
            Setting::Flag(key) => rustix::mount::fsconfig_set_flag(&context, key),
            Setting::Text(key, value) => rustix::mount::fsconfig_set_string(&context, key, value),
            Setting::Path(key, value) => rustix::mount::fsconfig_set_string(&context, key, value),
            Setting::Dir(key, dir) => rustix::mount::fsconfig_set_fd(&context, key, dir),
        };
        done.map_err(failed("fsconfig"))?;
    }
    rustix::mount::fsconfig_create(&context).map_err(failed("fsconfig create"))?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed("fsmount"))
}

/// A copy of the mount at an open file or directory, with that as its root, attached nowhere; `recursive` with what is
/// mounted below.
pub fn copy(at: impl AsFd, recursive: bool) -> Result<OwnedFd> {
    let copy = open_tree(at.as_fd(), Path::new(""), recursive)?;
    older::copied(at.as_fd(), copy.as_fd())?;
    Ok(copy)
}

/// [`copy`] of what a path of the caller leads to, links followed.
pub fn copy_path(path: &Path, recursive: bool) -> Result<OwnedFd> {
    open_tree(CWD, path, recursive)
}

fn open_tree(dir: BorrowedFd<'_>, path: &Path, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    rustix::mount::open_tree(dir, path, flags).map_err(|errno| Error::new("open_tree", path, errno))
}

/// Attaches a detached mount over an open file or directory. `path` is for the error only.
pub fn attach(mount: impl AsFd, over: impl AsFd, path: impl AsRef<Path>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&mount, "", over, "", flags).map_err(|errno| Error::new("move_mount", path, errno))?;
    older::attached(mount.as_fd())
}

/// Attaches a detached mount over a path of the caller.
pub fn attach_path(mount: impl AsFd, over: &Path) -> Result<()> {
    rustix::mount::move_mount(&mount, "", CWD, over, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|errno| Error::new("move_mount", over, errno))?;
    older::attached(mount.as_fd())
}

/// Says by which `/proc` this thread finds its own mounts from now on, where the kernel gives attributes in no other way: for who is about
/// to cover `/proc`, or to leave it.
pub fn remember_proc(proc: impl AsFd) -> Result<()> {
    older::remember_proc(proc.as_fd())
}

/// Adds attributes to a mount; `recursive` to those below it too.
pub fn restrict(mount: impl AsFd, attributes: Attributes, recursive: bool) -> Result<()> {
    let request =
        libc::mount_attr { attr_set: u64::from(attributes.bits()), attr_clr: 0, propagation: 0, userns_fd: 0 };
    change(mount.as_fd(), &request, recursive)
}

/// Makes a mount and all below it private: nothing propagates in or out.
pub fn make_private(mount: impl AsFd) -> Result<()> {
    let request = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    change(mount.as_fd(), &request, true)
}

/// What becomes of mounts that are made below a mount's peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are made here too, and nothing the other way.
    Slave,
    /// They are made here too, and what is made here is made there.
    Shared,
}

/// Lets a mount, with `recursive` all below it too, take part in what is mounted below its peers.
pub fn propagate(mount: impl AsFd, how: Propagation, recursive: bool) -> Result<()> {
    let propagation = match how {
        Propagation::Slave => libc::MS_SLAVE,
        Propagation::Shared => libc::MS_SHARED,
    };
    let request = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation, userns_fd: 0 };
    change(mount.as_fd(), &request, recursive)
}

fn change(mount: BorrowedFd<'_>, request: &libc::mount_attr, recursive: bool) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a terminated empty string and `request` a whole mount_attr; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(request),
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    match Error::last("mount_setattr", "") {
        error if error.errno() == rustix::io::Errno::NOSYS => older::change(mount, request, recursive),
        error => Err(error),
    }
}

/// mount(2) as it was before descriptors, for what old kernels take in no other way.
pub fn legacy(kind: &'static str, target: &Path, flags: rustix::mount::MountFlags, data: &[u8]) -> Result<()> {
    let invalid = |_| Error::new("mount", target, rustix::io::Errno::INVAL);
    let data = CString::new(data).map_err(invalid)?;
    rustix::mount::mount(kind, target, kind, flags, Some(data.as_c_str()))
        .map_err(|errno| Error::new("mount", target, errno))
}

/// Makes the working directory the root of this mount namespace, and lets go of the old one.
pub fn pivot_to_working_directory() -> Result<()> {
    // Both names mean the new root: the kernel puts the old one on top of it, from where it is taken away again.
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => {
            rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(|errno| Error::new("umount2", ".", errno))?;
        }
        // The root of an initramfs can't be moved away: it is covered instead, as switch_root does.
        Err(rustix::io::Errno::INVAL) => {
            rustix::mount::mount_move(".", "/").map_err(|errno| Error::new("mount --move", "/", errno))?;
            rustix::process::chroot(".").map_err(|errno| Error::new("chroot", ".", errno))?;
        }
        Err(errno) => return Err(Error::new("pivot_root", ".", errno)),
    }
    rustix::process::chdir("/").map_err(|errno| Error::new("chdir", "/", errno))
}

/// The longest mount data that mount(2) takes: one page with its terminator.
pub const LEGACY_DATA_LIMIT: usize = 4095;

/// A path as overlay's mount data wants it: separators escaped.
pub fn escape_overlay(path: &Path) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(path.as_os_str().len());
    for &byte in path.as_os_str().as_bytes() {
        if matches!(byte, b':' | b',' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    escaped
}
