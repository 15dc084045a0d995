//! `exp`, `nbf` and `iat`.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Error;
use crate::time::Instant;

/// How far clocks may be apart.
const SKEW: Duration = Duration::from_secs(60);

/// When a token holds, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) expires: i64,
    not_before: Option<i64>,
    issued: Option<i64>,
}

impl Times {
    /// Reads them; `exp` must be there.
    pub(crate) fn of(claims: &Map<String, Value>) -> Result<Self, Error> {
        let seconds = |name: &'static str| match claims.get(name) {
            None => Ok(None),
            Some(value) => whole(value).map(Some).ok_or(Error::Claim(name)),
        };
        let expires = seconds("exp")?.ok_or(Error::Claim("exp"))?;
        Ok(Self { expires, not_before: seconds("nbf")?, issued: seconds("iat")? })
    }

    /// Whether it holds now; `grace` is how long it may be over.
    pub(crate) fn check(&self, now: Instant, grace: Duration) -> Result<(), Error> {
        let (now, skew) = (now.0 / 1000, whole_seconds(SKEW));
        if now >= self.expires.saturating_add(skew).saturating_add(whole_seconds(grace)) {
            return Err(Error::Expired);
        }
        let ahead = |time: Option<i64>| time.is_some_and(|time| time > now.saturating_add(skew));
        if ahead(self.not_before) || ahead(self.issued) { Err(Error::Early) } else { Ok(()) }
    }
}

/// A number of seconds; some issuers write fractions.
fn whole(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates, and the range is checked")]
    let truncated = |seconds: f64| (seconds.abs() < 1e15).then_some(seconds as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(truncated))
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
