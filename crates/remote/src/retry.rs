//! When to try again, and when to give up. Pure: the clock and the dice come from outside.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};

/// How patient a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, the first one included.
    pub attempts: u32,
    /// The wait before the second try; it doubles with each further one.
    pub first_wait: Duration,
    /// No single wait is longer. A `Retry-After` beyond it ends the call: whoever called decides what to do with that.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, first_wait: Duration::from_millis(250), longest_wait: Duration::from_secs(30) }
    }
}

impl Retry {
    /// One try and no more.
    pub const fn never() -> Self {
        Self { attempts: 1, first_wait: Duration::ZERO, longest_wait: Duration::ZERO }
    }

    /// How long to wait after the `failures`-th failure (from 1), or `None` to give up.
    /// `asked` is the registry's `Retry-After`; `dice` any number, for jitter.
    pub fn wait(&self, failures: u32, asked: Option<Duration>, dice: u64) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        if let Some(asked) = asked {
            return (asked <= self.longest_wait).then_some(asked);
        }
        let doubled = self.first_wait.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
        let full = doubled.min(self.longest_wait);
        // Half of it for sure, the other half by chance: clients that failed together do not come back together.
        let half = full / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        Some(half + Duration::from_nanos(dice % spread))
    }
}

/// A number for [`Retry::wait`].
pub(crate) fn dice() -> u64 {
    let mut bytes = [0_u8; 8];
    // Without random bytes there is no jitter, and nothing else is lost.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Answers that may be different later.
pub(crate) fn is_temporary(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let date: SystemTime = date.timestamp().into();
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_with_jitter_and_end() {
        let retry =
            Retry { attempts: 4, first_wait: Duration::from_millis(100), longest_wait: Duration::from_millis(300) };
        for dice in [0, 1, u64::MAX, 1 << 40] {
            for (failures, least, most) in [(1, 50, 100), (2, 100, 200), (3, 150, 300)] {
                let wait = retry.wait(failures, None, dice).unwrap().as_millis();
                assert!((least..=most).contains(&wait), "{failures}: {wait}");
            }
        }
        assert_eq!(retry.wait(4, None, 0), None);
        assert_eq!(retry.wait(1, Some(Duration::from_millis(300)), 0), Some(Duration::from_millis(300)));
        assert_eq!(retry.wait(1, Some(Duration::from_secs(86_400)), 0), None, "an hour's wait is the caller's affair");
        assert_eq!(Retry::never().wait(1, Some(Duration::ZERO), 0), None);
    }

    #[test]
    fn reads_seconds_and_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("99999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:40:37 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            assert_eq!(retry_after(&headers, now).map(|wait| wait.as_secs()), expected, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
