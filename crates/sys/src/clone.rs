//! New processes in new namespaces, and how they end.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;

use crate::{Error, Result};

/// Namespaces that a new process gets of its own. Combine with `|`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Namespaces(u64);

impl Namespaces {
    /// None.
    pub const NONE: Self = Self(0);
    /// Its mounts.
    pub const MOUNT: Self = Self(libc::CLONE_NEWNS as u64);
    /// Its process numbers.
    pub const PID: Self = Self(libc::CLONE_NEWPID as u64);
    /// Its System V and message queue objects.
    pub const IPC: Self = Self(libc::CLONE_NEWIPC as u64);
    /// Its host name.
    pub const UTS: Self = Self(libc::CLONE_NEWUTS as u64);
    /// Its root in the cgroup tree.
    pub const CGROUP: Self = Self(libc::CLONE_NEWCGROUP as u64);
    /// Its network.
    pub const NET: Self = Self(libc::CLONE_NEWNET as u64);
    /// Its users and groups.
    pub const USER: Self = Self(libc::CLONE_NEWUSER as u64);

    /// Not a namespace: the new process is its maker's sibling, a child of the same parent.
    pub const SIBLING: Self = Self(libc::CLONE_PARENT as u64);

    /// These without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl std::ops::BitOr for Namespaces {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Forked {
    /// The process that forked.
    Parent {
        /// The new process, as we see it.
        pid: i32,
        /// A descriptor of it, closed on exec.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Forks into `namespaces`.
///
/// The child has a copy of everything, as after fork(2), and may do anything: this function refuses (EBUSY) a caller
/// with more than one thread, whose locks the child could find held for ever.
pub fn fork(namespaces: Namespaces) -> Result<Forked> {
    if threads() > 1 {
        return Err(Error::new("clone3 with several threads", "", Errno::BUSY));
    }
    match clone3(namespaces.0, None) {
        Err(error) if error.errno() == Errno::NOSYS => clone_legacy(namespaces.0),
        other => other,
    }
}

/// Forks into `namespaces` and into a control group of the newer version, by a descriptor of its folder (`O_PATH` serves).
///
/// Unlike moving a process, which waits for all processors, this costs next to nothing. Refused like [`fork`]; and by kernels
/// before 5.7, and for groups that the caller may not move processes into: then the caller forks without.
pub fn fork_into(namespaces: Namespaces, group: BorrowedFd<'_>) -> Result<Forked> {
    if threads() > 1 {
        return Err(Error::new("clone3 with several threads", "", Errno::BUSY));
    }
    clone3(namespaces.0, Some(group))
}

/// Forks once more, in a process that was forked itself and started no thread since.
///
/// Unlike [`fork`] it asks no `/proc`: that of a container one has joined is what the container made of it. With a `group`, as
/// [`fork_into`].
pub fn fork_again(group: Option<BorrowedFd<'_>>) -> Result<Forked> {
    match clone3(0, group) {
        other if group.is_some() => other,
        Err(error) if error.errno() == Errno::NOSYS => clone_legacy(0),
        other => other,
    }
}

/// How many threads the caller has; 1 where `/proc` doesn't say.
pub fn threads() -> u64 {
    match std::fs::metadata("/proc/self/task") {
        // A directory's links: its name, its own ".", and one ".." in each thread's directory.
        Ok(metadata) => std::os::unix::fs::MetadataExt::nlink(&metadata).saturating_sub(2).max(1),
        Err(_) => 1,
    }
}

/// `libc`'s constant of this name does not fit its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn clone3(flags: u64, group: Option<BorrowedFd<'_>>) -> Result<Forked> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers, for which zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = exit_signal(flags) as u64;
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = group.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM and without a stack this is fork: the child goes on with its own copy of this memory.
    // The kernel writes one descriptor to `pidfd`, which lives until after the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut args), size_of::<libc::clone_args>()) };
    forked("clone3", pid, pidfd)
}

fn clone_legacy(flags: u64) -> Result<Forked> {
    let mut pidfd: RawFd = -1;
    let flags = flags | (libc::CLONE_PIDFD | exit_signal(flags)) as u64;
    // SAFETY: as in `clone3`; a null stack means the caller's, and parent_tid is where CLONE_PIDFD writes.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, std::ptr::from_mut(&mut pidfd), 0usize, 0usize) };
    forked("clone", pid, pidfd)
}

/// A sibling ends with the signal that its maker ends with.
fn exit_signal(flags: u64) -> i32 {
    if flags & libc::CLONE_PARENT as u64 == 0 { libc::SIGCHLD } else { 0 }
}

fn forked(call: &'static str, pid: libc::c_long, pidfd: RawFd) -> Result<Forked> {
    match pid {
        0 => Ok(Forked::Child),
        // SAFETY: the kernel has just opened this descriptor for us alone.
        1.. => Ok(Forked::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
        _ => Err(Error::last(call, "")),
    }
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub pid: i32,
    /// The exit code, or the signal that ended it.
    pub how: How,
    /// Processor time that it and the children it waited for spent on their own.
    pub user: Duration,
    /// Processor time that the kernel spent on their behalf.
    pub system: Duration,
    /// The most memory that one of them held, in KiB.
    pub max_rss_kib: u64,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It exited with this code.
    Exited(u8),
    /// This signal ended it.
    Signalled(i32),
}

/// Waits for a child (`-1`: for any) to end. `None` only with `block` off: it hasn't ended.
pub fn wait(pid: i32, block: bool) -> Result<Option<Ended>> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let options = if block { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: both pointers are to memory of the right type that outlives the call.
        let ended = unsafe { libc::wait4(pid, &mut status, options | libc::__WALL, usage.as_mut_ptr()) };
        match ended {
            0 => return Ok(None),
            1.. => {
                // SAFETY: zeroed at first, and filled in by the kernel since.
                let usage = unsafe { usage.assume_init() };
                return Ok(Some(describe(ended, status, &usage)));
            }
            _ => {
                let error = Error::last("wait4", "");
                if error.errno() != Errno::INTR {
                    return Err(error);
                }
            }
        }
    }
}

fn describe(pid: i32, status: i32, usage: &libc::rusage) -> Ended {
    let how = if libc::WIFSIGNALED(status) {
        How::Signalled(libc::WTERMSIG(status))
    } else {
        How::Exited(libc::WEXITSTATUS(status) as u8)
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    Ended {
        pid,
        how,
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        max_rss_kib: usage.ru_maxrss.max(0) as u64,
    }
}

/// Held by what a child runs and never returns from: a panic ends the child here, before it unwinds into a copy of its
/// parent's frames and runs the parent's destructors (leases, locks, terminals) a second time.
#[derive(Debug)]
pub struct Bulkhead;

impl Drop for Bulkhead {
    fn drop(&mut self) {
        exit(101)
    }
}

/// Ends this process at once: no destructors, no flushing of what it inherited.
pub fn exit(code: u8) -> ! {
    // SAFETY: always sound; the process is gone.
    unsafe { libc::_exit(i32::from(code)) }
}
