//! Moments as image configurations write them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A moment, kept as the RFC 3339 text that was read or made.
///
/// Text is the stored form because a configuration is hashed: `…:00Z` and `…:00.000Z` are the
/// same moment and other bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(String);

impl Timestamp {
    /// The moment `seconds` and `nanoseconds` after 1970, in UTC, without trailing zeros.
    pub fn from_unix(seconds: i64, nanoseconds: u32) -> Timestamp {
        let moment = jiff::Timestamp::new(seconds, nanoseconds.min(999_999_999) as i32);
        Timestamp(moment.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string())
    }

    /// Seconds after 1970, if the text is a moment.
    pub fn unix_seconds(&self) -> Option<i64> {
        self.0.parse::<jiff::Timestamp>().ok().map(|moment| moment.as_second())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_docker_writes() {
        assert_eq!(Timestamp::from_unix(0, 0).as_str(), "1970-01-01T00:00:00Z");
        let precise = Timestamp::from_unix(1_700_000_000, 123_450_000);
        assert_eq!(precise.as_str(), "2023-11-14T22:13:20.12345Z");
        assert_eq!(precise.unix_seconds(), Some(1_700_000_000));
    }
}
