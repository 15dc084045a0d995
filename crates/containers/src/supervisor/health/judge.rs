//! What an answer makes of what was known.

use std::time::Duration;

use crate::config::Health as Asked;
use crate::state::{Health as Known, Probe};

/// It has not answered well yet, and may still need time.
pub(super) const STARTING: &str = "starting";
/// It answered well.
pub(in crate::supervisor) const HEALTHY: &str = "healthy";
/// It failed too often.
pub(in crate::supervisor) const UNHEALTHY: &str = "unhealthy";

/// How many answers are kept; docker's.
const KEPT: usize = 5;

/// Takes an answer into account, `running_for` after the start. Gives what the container is now, where that changed.
pub(super) fn judge(asked: &Asked, known: &mut Known, probe: Probe, running_for: Duration) -> Option<&'static str> {
    let good = probe.exit_code == 0;
    known.log.push(probe);
    let surplus = known.log.len().saturating_sub(KEPT);
    known.log.drain(..surplus);
    let now = if good {
        known.failing = 0;
        HEALTHY
    } else {
        // A failure before the first good answer is forgiven for a while.
        if known.status == STARTING && running_for < Duration::from_nanos(asked.start_period) {
            return None;
        }
        known.failing = known.failing.saturating_add(1);
        if known.failing < asked.retries.max(1) {
            return None;
        }
        UNHEALTHY
    };
    if known.status == now {
        return None;
    }
    now.clone_into(&mut known.status);
    Some(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(asked: &Asked, answers: &[(i32, u64)]) -> (Vec<Option<&'static str>>, Known) {
        let mut known = Known { status: STARTING.to_owned(), ..Known::default() };
        let told = answers.iter().map(|(code, second)| {
            let probe = Probe { exit_code: *code, ..Probe::default() };
            judge(asked, &mut known, probe, Duration::from_secs(*second))
        });
        (told.collect(), known)
    }

    #[test]
    fn as_docker_judges() {
        let asked = Asked { retries: 2, start_period: 10_000_000_000, ..Asked::default() };
        let (said, known) = told(&asked, &[(1, 1), (1, 2), (1, 11), (1, 12), (1, 13), (0, 14), (1, 15), (0, 16)]);
        let expected = [None, None, None, Some(UNHEALTHY), None, Some(HEALTHY), None, None];
        assert_eq!((said.as_slice(), known.failing, known.log.len()), (expected.as_slice(), 0, KEPT));
        // A good answer ends the time in which failures do not count.
        let (said, _) = told(&asked, &[(0, 1), (1, 2), (137, 3)]);
        assert_eq!(said, [Some(HEALTHY), None, Some(UNHEALTHY)]);
    }
}
