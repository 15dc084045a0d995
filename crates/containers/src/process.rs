//! Processes by a number that cannot mean another one.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::state::ProcessId;

const SIGKILL: i32 = 9;

/// Where the state stands after the name in `/proc/<pid>/stat`, and where the start does.
const STATE: usize = 0;
const START: usize = 19;

impl ProcessId {
    /// A process by its number, as it is now; `None` when there is none.
    pub fn of(pid: i32) -> Option<Self> {
        let (_, start) = stat(pid)?;
        Some(Self { pid, start })
    }

    /// Whether it lives: a process that has ended and was not waited for does not.
    pub fn lives(self) -> bool {
        stat(self.pid).is_some_and(|(state, start)| start == self.start && !matches!(state, 'Z' | 'X'))
    }

    /// A descriptor of it; `None` when it has ended.
    pub fn open(self) -> Option<OwnedFd> {
        let pidfd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Its number could have become another's until now, but not from now on.
        self.lives().then_some(pidfd)
    }

    /// Kills it, and waits so long at most. Gives whether it is gone.
    pub fn kill(self, patience: Duration) -> bool {
        let Some(pidfd) = self.open() else { return true };
        // One that has ended meanwhile is gone; one that may not be killed shows below.
        let _ = sys::signal::send_to(&pidfd, SIGKILL);
        has_ended(&pidfd, patience)
    }
}

/// Waits until the process of a descriptor has ended, so long at most.
pub fn has_ended(pidfd: &OwnedFd, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return false,
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) | Err(_) => return true,
        }
    }
}

/// The state and the start of a process.
fn stat(pid: i32) -> Option<(char, u64)> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name stands in brackets and may hold any, so what follows the last one counts.
fn parse(text: &str) -> Option<(char, u64)> {
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.nth(STATE)?.chars().next()?;
    Some((state, fields.nth(START - STATE - 1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lie_about_the_start() {
        let line = "7 (a) S 1 1) R 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1";
        assert_eq!(parse(line), Some(('R', 4242)));
        assert_eq!(parse("7 (a"), None);
    }

    #[test]
    fn we_live_and_another_of_our_number_does_not() {
        let own = ProcessId::of(std::process::id().cast_signed()).unwrap();
        assert!(own.lives() && own.open().is_some());
        let other = ProcessId { start: own.start + 1, ..own };
        assert!(!other.lives() && other.kill(Duration::ZERO));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(child.id().cast_signed()).unwrap();
        assert!(id.kill(Duration::from_secs(5)));
        assert!(!id.lives(), "a zombie does not live");
        child.wait().unwrap();
    }
}
