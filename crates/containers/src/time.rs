//! Moments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970, UTC. Zero is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Never: what did not happen yet.
    pub const NEVER: Self = Self(0);

    /// This moment, by the machine's clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Whether it is [`Moment::NEVER`].
    pub fn is_never(self) -> bool {
        self == Self::NEVER
    }

    /// As the standard library has it.
    pub fn system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0)
    }

    /// As RFC 3339 has it, in UTC, with all nine digits: what sorts as text.
    pub fn rfc3339(self) -> String {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string(),
            Err(_) => String::new(),
        }
    }

    /// A moment in RFC 3339; `None` where it is none, or before 1970.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let time: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(time.as_nanosecond()).ok().map(Self)
    }
}
