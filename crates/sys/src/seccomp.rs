//! Putting a system call filter on this process.

use std::os::fd::{FromRawFd, OwnedFd};

pub use libc::sock_filter as Instruction;
use rustix::io::Errno;

use crate::{Error, Result};

/// The filter's answer: let the call through.
pub const RET_ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
/// The filter's answer: fail the call; the error number goes into the lowest 16 bits.
pub const RET_ERRNO: u32 = libc::SECCOMP_RET_ERRNO;
/// The filter's answer: ask the listener.
pub const RET_USER_NOTIF: u32 = libc::SECCOMP_RET_USER_NOTIF;
/// The filter's answer: end the process.
pub const RET_KILL_PROCESS: u32 = libc::SECCOMP_RET_KILL_PROCESS;
/// The filter's answer: let the call through, and write it to the audit log.
pub const RET_LOG: u32 = libc::SECCOMP_RET_LOG;
/// The filter's answer: send SIGSYS.
pub const RET_TRAP: u32 = libc::SECCOMP_RET_TRAP;

/// Filters every system call of this process, for ever, and of what it becomes.
///
/// Needs no_new_privs or CAP_SYS_ADMIN in the user namespace.
pub fn install(program: &[Instruction]) -> Result<()> {
    // Without SPEC_ALLOW kernels before 5.16 slow the process down by a mitigation that a container doesn't need.
    match load(program, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW) {
        Err(error) if error.errno() == Errno::INVAL => load(program, 0).map(drop),
        other => other.map(drop),
    }
}

/// [`install`] for a filter that answers [`RET_USER_NOTIF`]: gives the listener's end.
pub fn install_with_listener(program: &[Instruction]) -> Result<OwnedFd> {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let fd = load(program, flags | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW)?;
    // SAFETY: with NEW_LISTENER the call's result is a descriptor just opened for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn load(program: &[Instruction], flags: libc::c_ulong) -> Result<i32> {
    let length = u16::try_from(program.len()).map_err(|_| Error::new("seccomp", "", Errno::INVAL))?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: `filter` names `length` instructions that outlive the call; the kernel only reads and checks them.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&filter))
    };
    if result >= 0 { Ok(result as i32) } else { Err(Error::last("seccomp", "")) }
}
