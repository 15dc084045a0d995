//! Putting a system call filter on this process.

pub use libc::sock_filter as Instruction;
use rustix::io::Errno;

use crate::{Error, Result};

/// The filter's answer: let the call through.
pub const RET_ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
/// The filter's answer: fail the call; the error number goes into the lowest 16 bits.
pub const RET_ERRNO: u32 = libc::SECCOMP_RET_ERRNO;
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

fn load(program: &[Instruction], flags: libc::c_ulong) -> Result<i32> {
    let length = u16::try_from(program.len()).map_err(|_| Error::new("seccomp", "", Errno::INVAL))?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: `filter` names `length` instructions that outlive the call; the kernel only reads and checks them.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&filter)) };
    if result >= 0 { Ok(result as i32) } else { Err(Error::last("seccomp", "")) }
}
