//! Spans of time in the configuration: `"30s"`, `"1h30m"`, `"7d"`.

use std::fmt;
use std::time::Duration as Span;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time, written with units: `ms`, `s`, `m`, `h`, `d`, `w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(pub Span);

/// Units and their milliseconds, largest first: how a span is written, too.
const UNITS: &[(&str, u64)] =
    &[("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The longest that is read: longer ones are mistakes, and would leave the clock's range.
const LONGEST: u64 = 200 * 366 * 86_400_000;

impl Duration {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Span::from_secs(seconds))
    }

    /// So many hours.
    pub const fn hours(hours: u64) -> Self {
        Self(Span::from_secs(hours * 3600))
    }

    /// So many days.
    pub const fn days(days: u64) -> Self {
        Self::hours(days * 24)
    }

    /// Reads `1h30m`: whole numbers, each with a unit. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut total = 0_u64;
        let mut rest = text;
        if rest == "0" {
            return Some(Self::default());
        }
        loop {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let number: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == &rest[..unit])?;
            total = total.checked_add(number.checked_mul(*milliseconds)?)?;
            rest = &rest[unit..];
            if rest.is_empty() {
                return (total <= LONGEST).then_some(Self(Span::from_millis(total)));
            }
        }
    }

    /// The span.
    pub fn get(self) -> Span {
        self.0
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, milliseconds) in UNITS {
            if rest >= *milliseconds {
                write!(f, "{}{name}", rest / milliseconds)?;
                rest %= milliseconds;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in quotes, with its unit, such as \"30s\", \"24h\" or \"7d\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                Duration::parse(text)
                    .ok_or_else(|| E::custom(format!("`{text}` is not a time such as \"30s\", \"24h\" or \"7d\"")))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_written() {
        let cases = [
            ("30s", Some(30_000), "30s"),
            ("1h30m", Some(5_400_000), "1h30m"),
            ("90m", Some(5_400_000), "1h30m"),
            ("24h", Some(86_400_000), "1d"),
            ("7d", Some(604_800_000), "1w"),
            ("250ms", Some(250), "250ms"),
            ("0", Some(0), "0s"),
            ("", None, ""),
            ("5", None, ""),
            ("h", None, ""),
            ("-1h", None, ""),
            ("1.5h", None, ""),
            ("1 h", None, ""),
            ("99999999999999999999h", None, ""),
            ("999999w", None, ""),
        ];
        for (text, milliseconds, written) in cases {
            let read = Duration::parse(text);
            assert_eq!(read.map(|span| span.get().as_millis()), milliseconds, "{text}");
            if let Some(span) = read {
                assert_eq!(span.to_string(), written);
                assert_eq!(Duration::parse(written), Some(span));
            }
        }
    }
}
