//! Asking a container to end, and ending it.

use std::time::{Duration, Instant};

use super::Supervisor;
use crate::config::STOP_TIMEOUT;
use crate::signal::{self, SIGKILL, SIGTERM};

/// A container that was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    /// When it is killed; `None`: never, or it was.
    deadline: Option<Instant>,
}

impl Stop {
    /// With so many seconds of patience; negative: for ever.
    pub(super) fn new(now: Instant, seconds: i64) -> Self {
        // A time beyond what the clock has is for ever.
        Self { deadline: u64::try_from(seconds).ok().and_then(|seconds| now.checked_add(Duration::from_secs(seconds))) }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether its time is over, once.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        self.deadline.take_if(|deadline| *deadline <= now).is_some()
    }
}

impl Supervisor {
    /// Asks it to end. Another wish while it is asked already changes the time only.
    pub(super) fn begin_stop(&mut self, signal: Option<i32>, timeout: Option<i64>) {
        self.state.stopped = true;
        self.restarts.cancel();
        let own = self.config.life.stop_timeout.unwrap_or(STOP_TIMEOUT.cast_signed());
        let first = self.stop.is_none();
        self.stop = Some(Stop::new(Instant::now(), timeout.unwrap_or(own)));
        // A frozen container hears nothing.
        self.wake();
        if first || signal.is_some() {
            let own = self.config.life.stop_signal.as_deref().and_then(signal::parse).unwrap_or(SIGTERM);
            self.signal(signal.unwrap_or(own));
        }
    }

    pub(super) fn signal(&mut self, signal: i32) {
        if let Some(running) = &self.running {
            // One that has ended shows by its descriptor.
            drop(running.kill(signal));
        }
    }

    /// Ends it: a frozen container takes no other signal.
    pub(super) fn kill_now(&mut self) {
        self.signal(SIGKILL);
        self.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_once_or_never() {
        let now = Instant::now();
        let mut stop = Stop::new(now, 3);
        assert!(!stop.is_over(now));
        assert!(stop.is_over(now + Duration::from_secs(3)));
        assert!(!stop.is_over(now + Duration::from_secs(9)), "it is killed once");
        assert_eq!(Stop::new(now, -1).deadline(), None);
        assert_eq!(Stop::new(now, i64::MAX).deadline(), None);
        assert!(Stop::new(now, 0).is_over(now));
    }
}
