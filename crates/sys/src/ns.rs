//! Namespaces: leaving them, mapping ids into them, and who may use which ids.

use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which namespaces to leave.
pub use rustix::thread::UnshareFlags as Namespaces;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Consecutive ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdRange {
    /// The first.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// Ids inside a user namespace, and what they are outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdMap {
    /// The first id inside.
    pub inside: u32,
    /// What it is in the parent namespace.
    pub outside: u32,
    /// How many, counting up on both sides.
    pub count: u32,
}

/// User or group ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// User ids.
    User,
    /// Group ids.
    Group,
}

impl IdKind {
    fn map_file(self) -> &'static str {
        match self {
            Self::User => "uid_map",
            Self::Group => "gid_map",
        }
    }

    /// The set-user-id program that writes such a map for an ordinary user: `newuidmap` or `newgidmap`.
    pub fn helper(self) -> &'static str {
        match self {
            Self::User => "newuidmap",
            Self::Group => "newgidmap",
        }
    }

    /// The file that says which such ids a user may use besides its own: `/etc/subuid` or `/etc/subgid`.
    pub fn subordinate_file(self) -> &'static str {
        match self {
            Self::User => "/etc/subuid",
            Self::Group => "/etc/subgid",
        }
    }
}

/// Leaves namespaces for new ones.
///
/// A new user namespace is refused (EINVAL) to a process that has, or just had, another thread.
pub fn unshare(which: Namespaces) -> Result<()> {
    // SAFETY: only CLONE_FILES could invalidate what others hold, and a single thread has no others.
    let done = unsafe { rustix::thread::unshare_unsafe(which) };
    done.map_err(|errno| Error::new("unshare", "", errno))
}

/// Namespaces that [`join`] enters.
pub use rustix::thread::ThreadNameSpaceType as Joined;

/// Enters namespaces of the process that `pidfd` is of, all at once; or the one that a file of `/proc/<pid>/ns` stands for.
///
/// Of a user namespace only a process with one thread can become part; a pid namespace is that of children to come.
pub fn join(pidfd: impl AsFd, which: Joined) -> Result<()> {
    let done = rustix::thread::move_into_thread_name_spaces(pidfd.as_fd(), which);
    done.map_err(|errno| Error::new("setns", "", errno))
}

/// Joins the user namespace of this descriptor.
pub fn join_users(namespace: impl AsFd) -> Result<()> {
    let kind = Some(rustix::thread::LinkNameSpaceType::User);
    rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)
        .map_err(|errno| Error::new("setns user", "", errno))
}

/// The user namespace that a namespace (by a descriptor of `/proc/<pid>/ns/…`) belongs to.
pub fn owner(namespace: impl AsFd) -> Result<OwnedFd> {
    // SAFETY: the call takes no argument; a descriptor of something else is refused.
    let fd = unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_USERNS) };
    if fd < 0 {
        return Err(Error::last("ioctl NS_GET_USERNS", ""));
    }
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `_IO(0xb7, 1)` of linux/nsfs.h.
const NS_GET_USERNS: libc::Ioctl = 0xb701;

/// How many threads this process has.
pub fn thread_count() -> Result<usize> {
    let path = "/proc/self/task";
    fs::read_dir(path).map(Iterator::count).map_err(|error| Error::from_io("readdir", path, &error))
}

/// Writes the id map of the user namespace that `process` (a pid, or `self`) is in.
pub fn write_map(process: &str, kind: IdKind, map: &[IdMap]) -> Result<()> {
    let path = format!("/proc/{process}/{}", kind.map_file());
    let mut lines = String::new();
    for IdMap { inside, outside, count } in map {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{inside} {outside} {count}");
    }
    fs::write(&path, lines).map_err(|error| Error::from_io("write", path, &error))
}

/// Forbids setgroups in the user namespace of `process`, as the kernel asks before an ordinary user may map groups.
pub fn deny_setgroups(process: &str) -> Result<()> {
    let path = format!("/proc/{process}/setgroups");
    match fs::write(&path, "deny") {
        // Before Linux 3.19 there was no such file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| Error::from_io("write", path, &error)),
    }
}

/// Has `newuidmap` or `newgidmap` write the id map of `process`; on failure, what it said.
pub fn write_map_by_helper(program: &Path, process: u32, map: &[IdMap]) -> std::result::Result<(), String> {
    let ids = map.iter().flat_map(|map| [map.inside, map.outside, map.count]).map(|id| id.to_string());
    let output = Command::new(program)
        .arg(process.to_string())
        .args(ids)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {} ({})", program.display(), said.trim(), output.status))
}

/// Where `newuidmap` or `newgidmap` is, by `$PATH` and the places it may be in all the same.
pub fn find_helper(kind: IdKind) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"].map(PathBuf::from);
    let candidates = std::env::split_paths(&path).chain(usual);
    candidates.map(|dir| dir.join(kind.helper())).find(|program| program.is_file())
}

/// The largest range that `text` (of `/etc/subuid` or `/etc/subgid`) gives the user, by name or by number.
pub fn subordinate_range(text: &str, user: Option<&str>, uid: u32) -> Option<IdRange> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().splitn(3, ':');
            let owner = fields.next()?;
            let start = fields.next()?.trim().parse().ok()?;
            let count: u32 = fields.next()?.trim().parse().ok()?;
            let ours = user == Some(owner) || owner == number;
            (ours && count > 0).then_some(IdRange { start, count })
        })
        .max_by_key(|range| range.count)
}

/// The name that `text` (of `/etc/passwd`) has for a user id.
pub fn user_name(text: &str, uid: u32) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id.parse() == Ok(uid)).then_some(name)
    })
}

/// Sets all user and group ids of this thread.
pub fn become_ids(uid: u32, gid: u32) -> Result<()> {
    // SAFETY: plain numbers; the raw calls change this thread alone, which is all there is where it is used.
    unsafe {
        if libc::syscall(libc::SYS_setresgid, gid, gid, gid) != 0 {
            return Err(Error::last("setresgid", ""));
        }
        if libc::syscall(libc::SYS_setresuid, uid, uid, uid) != 0 {
            return Err(Error::last("setresuid", ""));
        }
    }
    Ok(())
}

/// Whether this process holds a capability (by number, as `CAP_SYS_ADMIN` is 21) effectively.
pub fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default();
    set >> number & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_ranges_by_name_or_number() {
        let text = "# comment\nann:100000:65536\nbob:1:x\n1002:300000:10\nann:500000:70000\nbob:7:0\n";
        assert_eq!(subordinate_range(text, Some("ann"), 1), Some(IdRange { start: 500_000, count: 70_000 }));
        assert_eq!(subordinate_range(text, Some("carl"), 1002), Some(IdRange { start: 300_000, count: 10 }));
        assert_eq!(subordinate_range(text, Some("bob"), 3), None);
        assert_eq!(subordinate_range(text, None, 3), None);
    }

    #[test]
    fn finds_the_user_name() {
        let text = "root:x:0:0:root:/root:/bin/bash\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user_name(text, 1000), Some("ann"));
        assert_eq!(user_name(text, 0), Some("root"));
        assert_eq!(user_name(text, 7), None);
    }
}
