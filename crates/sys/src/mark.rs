//! A number that a process carries without knowing, and that everything it forks inherits.
//!
//! The kernel has no such thing; but it has a resource limit that means nothing to a process without a real-time
//! scheduling class (`RLIMIT_RTTIME`), that outlives exec, and that another process of the same user may set. The number
//! is in its lower half, the upper half says that it is one.

use crate::{Error, Result};

/// Microseconds that nobody limits anything to: 146,000 years.
const MARKED: u64 = 1 << 62;
/// The bits of the number itself.
const NUMBER: u64 = u32::MAX as u64;

/// The number that the process of a thread carries; `None` where nobody gave it one.
pub fn read(thread: u32) -> Result<Option<u32>> {
    let limit = prlimit(thread, None)?;
    let marked = limit.rlim_cur & !NUMBER == MARKED;
    Ok(if marked { u32::try_from(limit.rlim_cur & NUMBER).ok() } else { None })
}

/// Has the process of a thread, and all that it forks from now on, carry a number.
pub fn write(thread: u32, number: u32) -> Result<()> {
    let before = prlimit(thread, None)?;
    let limit = libc::rlimit { rlim_cur: MARKED | u64::from(number), rlim_max: before.rlim_max };
    prlimit(thread, Some(limit)).map(drop)
}

fn prlimit(thread: u32, new: Option<libc::rlimit>) -> Result<libc::rlimit> {
    let pid = libc::pid_t::try_from(thread).map_err(|_| Error::new("prlimit", "", rustix::io::Errno::SRCH))?;
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both structs live through the call; a null one isn't read.
    let result = unsafe { libc::prlimit(pid, libc::RLIMIT_RTTIME, new, &raw mut old) };
    if result == 0 { Ok(old) } else { Err(Error::last("prlimit", "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_carries_what_its_parent_did() {
        let own = std::process::id();
        assert_eq!(read(own).unwrap(), None);
        let child = crate::fork::child(|| {
            let own = std::process::id();
            write(own, 7).unwrap();
            let grandchild = crate::fork::child(|| u8::from(read(std::process::id()).unwrap() != Some(7)));
            grandchild.unwrap().wait().unwrap()
        });
        assert_eq!(child.unwrap().wait().unwrap(), 0);
        assert_eq!(read(own).unwrap(), None);
    }
}
