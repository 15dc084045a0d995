//! Landlock: a process gives up access that no capability brings back (Linux 5.13; scopes: 6.12).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::{Error, Result};

/// Asks for the version of the interface in place of making a ruleset.
const VERSION: u32 = 1;
/// The version that knows scopes.
const SCOPES_SINCE: i32 = 6;
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
const SCOPE_SIGNAL: u64 = 1 << 1;
/// Rights over files that each version of the interface knows: 1 to 5 and later.
const FILE_RIGHTS: [u64; 5] = [0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff];
const RULE_PATH_BENEATH: u32 = 1;

/// What is given up.
#[derive(Debug, Default)]
pub struct Wall<'a> {
    /// Abstract sockets of processes outside.
    pub sockets: bool,
    /// Signals to processes outside.
    pub signals: bool,
    /// All files but those below this folder.
    pub below: Option<BorrowedFd<'a>>,
}

/// `struct landlock_ruleset_attr`.
#[repr(C)]
#[derive(Default)]
struct Ruleset {
    files: u64,
    ports: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct Beneath {
    rights: u64,
    parent: i32,
}

/// Raises the wall around this process and all that it becomes. `false` where the kernel has none of what was asked.
///
/// Needs no_new_privs or CAP_SYS_ADMIN in the user namespace.
pub fn raise(wall: &Wall<'_>) -> Result<bool> {
    let version = version();
    let mut ruleset = Ruleset::default();
    if version >= SCOPES_SINCE {
        let scopes = [(wall.sockets, SCOPE_ABSTRACT_UNIX_SOCKET), (wall.signals, SCOPE_SIGNAL)];
        ruleset.scoped = scopes.into_iter().filter(|(asked, _)| *asked).map(|(_, bit)| bit).sum();
    }
    if wall.below.is_some() && version > 0 {
        let at = usize::try_from(version - 1).unwrap_or_default().min(FILE_RIGHTS.len() - 1);
        ruleset.files = FILE_RIGHTS[at];
    }
    if ruleset.files == 0 && ruleset.scoped == 0 {
        return Ok(false);
    }
    let rules = make(&ruleset)?;
    if let Some(below) = wall.below {
        let rule = Beneath { rights: ruleset.files, parent: below.as_raw_fd() };
        // SAFETY: `rule` is a whole landlock_path_beneath_attr that outlives the call.
        let added = unsafe {
            let rule = std::ptr::from_ref(&rule);
            libc::syscall(libc::SYS_landlock_add_rule, rules.as_fd().as_raw_fd(), RULE_PATH_BENEATH, rule, 0u32)
        };
        if added != 0 {
            return Err(Error::last("landlock_add_rule", ""));
        }
    }
    // SAFETY: plain numbers.
    match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0u32) } {
        0 => Ok(true),
        _ => Err(Error::last("landlock_restrict_self", "")),
    }
}

/// 0 where there is no landlock.
fn version() -> i32 {
    // SAFETY: with this flag the kernel reads no memory of ours.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<Ruleset>(), 0usize, VERSION) };
    i32::try_from(version).unwrap_or_default().max(0)
}

fn make(ruleset: &Ruleset) -> Result<OwnedFd> {
    // An older kernel takes a longer structure as long as what it doesn't know is zero.
    // SAFETY: `ruleset` is a whole structure of this size that outlives the call.
    let made = unsafe {
        let (rules, size) = (std::ptr::from_ref(ruleset), size_of::<Ruleset>());
        libc::syscall(libc::SYS_landlock_create_ruleset, rules, size, 0u32)
    };
    match i32::try_from(made) {
        // SAFETY: the kernel has just opened this descriptor for us alone.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        Ok(_) => Err(Error::last("landlock_create_ruleset", "")),
        Err(_) => Err(Error::new("landlock_create_ruleset", "", Errno::OVERFLOW)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    use super::*;

    #[test]
    fn abstract_sockets_outside_and_files_elsewhere_are_out_of_reach() {
        let address = SocketAddr::from_abstract_name(format!("estiba-{}", std::process::id())).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let version = version();
        let child = crate::fork::child(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            let below = rustix::fs::open("/proc", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
            UnixStream::connect_addr(&address).unwrap();
            let wall = Wall { sockets: true, signals: true, below: Some(below.as_fd()) };
            if !raise(&wall).unwrap() {
                return 0;
            }
            assert!(std::fs::read("/etc/passwd").is_err() && std::fs::read("/proc/version").is_ok());
            assert_eq!(UnixStream::connect_addr(&address).is_err(), version >= SCOPES_SINCE);
            0
        });
        assert_eq!(child.unwrap().wait().unwrap(), 0);
    }
}
