//! When a container that ended is started again.

use std::time::{Duration, Instant};

use crate::config::Restart;

/// The first pause, which doubles until the longest: as docker has them.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// Who lived so long begins with the first pause again.
const STABLE: Duration = Duration::from_secs(10);

/// How often it was started again, and when it will be.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    /// In a row, for `on-failure:N`.
    pub(super) count: u32,
    pause: Option<Duration>,
    due: Option<Instant>,
    /// It is being stopped in order to be started again, whatever its policy.
    forced: bool,
}

impl Restarts {
    /// Goes on counting after our own program was executed again.
    pub(super) fn counted(count: u32, pause: Option<Duration>) -> Self {
        Self { count, pause, due: None, forced: false }
    }

    pub(super) fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// When it is started again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// It is started again after its end, whatever its policy.
    pub(super) fn force(&mut self) {
        self.forced = true;
    }

    /// It is not started again after all.
    pub(super) fn cancel(&mut self) {
        (self.due, self.forced) = (None, false);
    }

    /// It is being started again.
    pub(super) fn starts(&mut self) {
        self.due = None;
        self.count = self.count.saturating_add(1);
    }

    /// Settles whether a container that ended is started again, and when. `stopped`: a user ended it.
    pub(super) fn ended(&mut self, policy: Restart, code: i32, stopped: bool, lived: Duration, now: Instant) -> bool {
        let forced = std::mem::take(&mut self.forced);
        let wanted = match policy {
            _ if forced => true,
            Restart::No => false,
            Restart::OnFailure(most) => code != 0 && (most == 0 || self.count < most),
            Restart::Always | Restart::UnlessStopped => true,
        };
        if !wanted || stopped {
            return false;
        }
        let pause = match self.pause {
            Some(before) if lived < STABLE => (before * 2).min(LONGEST),
            _ => FIRST,
        };
        self.pause = Some(pause);
        self.due = Some(now + pause);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_dockers() {
        let now = Instant::now();
        for (policy, code, stopped, again) in [
            (Restart::No, 1, false, false),
            (Restart::OnFailure(0), 1, false, true),
            (Restart::OnFailure(0), 0, false, false),
            (Restart::OnFailure(0), 137, true, false),
            (Restart::Always, 0, false, true),
            (Restart::Always, 0, true, false),
            (Restart::UnlessStopped, 3, false, true),
        ] {
            let got = Restarts::default().ended(policy, code, stopped, Duration::ZERO, now);
            assert_eq!(got, again, "{policy:?} {code} {stopped}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_anew() {
        let now = Instant::now();
        let mut restarts = Restarts::default();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            assert!(restarts.ended(Restart::Always, 1, false, Duration::ZERO, now));
            pauses.push(restarts.pause().unwrap().as_millis());
            restarts.starts();
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert!(restarts.ended(Restart::Always, 1, false, STABLE, now));
        assert_eq!(restarts.due(), Some(now + FIRST));
    }

    #[test]
    fn failures_are_counted() {
        let now = Instant::now();
        let mut restarts = Restarts::default();
        for again in [true, true, false] {
            assert_eq!(restarts.ended(Restart::OnFailure(2), 1, false, Duration::ZERO, now), again);
            restarts.starts();
        }
    }
}
