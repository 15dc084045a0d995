//! A child process that runs a function of ours.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::{Pid, WaitOptions};

use crate::{Error, Result};

/// What a child that panicked exits with.
const PANICKED: u8 = 101;
/// What one exits with whose parent ended before it began.
const ORPHANED: u8 = 102;

/// A child process. Dropping it doesn't end it; [`Forked::wait`] must be called some time, lest it stay a zombie.
#[derive(Debug)]
pub struct Forked {
    pid: Pid,
}

/// Forks, and runs `work` in the child, which exits with what it returns, without running destructors of ours.
///
/// The child is killed when the thread that forked it ends. Meant for a process with one thread. Where there were more, `work` must keep to system calls and memory: another
/// thread's locks stay locked in the child.
pub fn child(work: impl FnOnce() -> u8) -> Result<Forked> {
    let parent = rustix::process::getpid();
    // SAFETY: the child runs `work` alone and leaves by _exit; the caller answers for what `work` does.
    match unsafe { libc::fork() } {
        -1 => Err(Error::last("fork", "")),
        0 => {
            let code = match end_with(parent) {
                true => catch_unwind(AssertUnwindSafe(work)).unwrap_or(PANICKED),
                false => ORPHANED,
            };
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(code)) }
        }
        pid => match Pid::from_raw(pid) {
            Some(pid) => Ok(Forked { pid }),
            None => Err(Error::new("fork", "", rustix::io::Errno::IO)),
        },
    }
}

/// Has this process killed when its parent ends; to be asked for again when its ids changed, since the kernel forgets it then. `false`:
/// the parent has ended already, and nobody will be told.
#[must_use]
pub fn end_with(parent: Pid) -> bool {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    // In a pid namespace of its own it sees no parent.
    rustix::process::getppid().is_none_or(|now| now == parent)
}

impl Forked {
    /// A child by its number, after this process executed itself again; `None` where that is no number of a process.
    pub fn again(pid: u32) -> Option<Self> {
        Pid::from_raw(i32::try_from(pid).ok()?).map(|pid| Self { pid })
    }

    /// The child's process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Kills it, where it has not ended.
    pub fn kill(&self) {
        // Not waited for yet: the number is still its own.
        let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
    }

    /// Waits for its end: the code it exited with, or 128 plus the signal that ended it.
    pub fn wait(self) -> Result<u8> {
        loop {
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => {
                    let signal = status.terminating_signal().map(|signal| signal + 128);
                    let code = status.exit_status().or(signal).unwrap_or(i32::from(PANICKED));
                    return Ok(u8::try_from(code).unwrap_or(PANICKED));
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Error::new("waitpid", "", errno)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_reports() {
        assert_eq!(child(|| 7).unwrap().wait().unwrap(), 7);
        let killed = child(|| {
            loop {
                std::thread::park();
            }
        })
        .unwrap();
        killed.kill();
        assert_eq!(killed.wait().unwrap(), 128 + 9);
    }
}
