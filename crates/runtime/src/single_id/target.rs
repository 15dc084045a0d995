//! Which file another process' call means.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sys::notify::{Notification, read_c_string};
use sys::{OpenFlags, Root};

use super::owner::{Owner, XATTR};

/// `PATH_MAX`, with its terminator.
const PATH_MAX: usize = 4096;

/// What a call of the chown family names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// An open descriptor.
    Descriptor(i32),
    /// A path.
    Path {
        /// Where a relative one starts: a descriptor or `AT_FDCWD`.
        from: i32,
        /// The address of the path.
        path: u64,
        /// Whether a link at its end is followed.
        follow: bool,
        /// Whether an empty path means `from` itself.
        empty: bool,
    },
}

/// Opens (`O_PATH`) what a thread means. Only to be trusted if the call is still valid afterwards.
pub(super) fn open(call: &Notification, named: Named) -> Result<OwnedFd, Errno> {
    let thread = call.pid;
    let (from, address, follow, empty) = match named {
        Named::Descriptor(number) => return open_descriptor(thread, number),
        Named::Path { from, path, follow, empty } => (from, path, follow, empty),
    };
    let path = read_c_string(thread, address, PATH_MAX).map_err(|error| error.errno())?;
    let path = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
    if path.as_os_str().is_empty() {
        return match (empty, from) {
            (false, _) => Err(Errno::NOENT),
            (true, libc::AT_FDCWD) => open_link(&format!("/proc/{thread}/cwd")),
            (true, number) => open_descriptor(thread, number),
        };
    }
    if let Some(number) = own_descriptor(path).filter(|_| follow) {
        return open_descriptor(thread, number);
    }
    resolve(thread, from, path, follow)
}

/// The owner recorded for what a thread has open, by one call.
pub(super) fn recorded_owner(thread: u32, number: i32) -> Option<Owner> {
    let mut value = [0; 32];
    let length = rustix::fs::getxattr(format!("/proc/{thread}/fd/{number}"), XATTR, &mut value).ok()?;
    Owner::decode(&value[..length])
}

/// Follows the path from the root that the thread has, which no link leads out of.
fn resolve(thread: u32, from: i32, path: &Path, follow: bool) -> Result<OwnedFd, Errno> {
    let root_link = format!("/proc/{thread}/root");
    let root = Root::from_fd(open_link(&root_link)?);
    let flags = OpenFlags::PATH | if follow { OpenFlags::empty() } else { OpenFlags::NOFOLLOW };
    let open = |root: &Root, path: &Path| match root.open_file(path, flags) {
        Ok(file) => Ok(OwnedFd::from(file)),
        Err(error) => Err(error.errno()),
    };
    if let Ok(rest) = path.strip_prefix("/proc/self") {
        // To the monitor, which isn't in the container's pid namespace, this link leads nowhere.
        return open(&root, &Path::new("/proc").join(number_inside(thread)?).join(rest));
    }
    if path.is_absolute() {
        return open(&root, path);
    }
    let base_link = match from {
        libc::AT_FDCWD => format!("/proc/{thread}/cwd"),
        number => format!("/proc/{thread}/fd/{number}"),
    };
    // Both as seen from the root of the thread's mounts, so that one begins with the other.
    let (root_path, base_path) = (link(&root_link)?, link(&base_link)?);
    match base_path.strip_prefix(&root_path) {
        Ok(base) => open(&root, &base.join(path)),
        // A directory above the thread's root, or removed: what can be done is to go down from there.
        Err(_) => open(&Root::from_fd(open_link(&base_link)?), path),
    }
}

/// The number in the names a process has for its own descriptors: their links lead elsewhere for the monitor.
fn own_descriptor(path: &Path) -> Option<i32> {
    match path.to_str()? {
        "/dev/stdin" => Some(0),
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        other => {
            let number = other.strip_prefix("/dev/fd/").or_else(|| other.strip_prefix("/proc/self/fd/"))?;
            number.parse().ok()
        }
    }
}

/// The number of a thread's process in the innermost pid namespace that it is in.
fn number_inside(thread: u32) -> Result<String, Errno> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).map_err(|_| Errno::SRCH)?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NStgid:")).ok_or(Errno::NOENT)?;
    numbers.split_whitespace().last().map(str::to_owned).ok_or(Errno::NOENT)
}

fn open_descriptor(thread: u32, number: i32) -> Result<OwnedFd, Errno> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    match open_link(&format!("/proc/{thread}/fd/{number}")) {
        Err(Errno::NOENT) => Err(Errno::BADF),
        other => other,
    }
}

/// Opens what a link of `/proc` stands for.
fn open_link(path: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

fn link(path: &str) -> Result<PathBuf, Errno> {
    fs::read_link(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_descriptors_have_several_names() {
        assert_eq!(own_descriptor(Path::new("/dev/stderr")), Some(2));
        assert_eq!(own_descriptor(Path::new("/proc/self/fd/17")), Some(17));
        assert_eq!(own_descriptor(Path::new("/proc/self/fd/17/x")), None);
        assert_eq!(own_descriptor(Path::new("/dev/fdx")), None);
    }
}
