//! Sizes, counts and times as people read them.

use maud::{Markup, html};

use crate::time::Instant;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Bytes by powers of 1024, three digits: `4.29 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    // What would round to 1024 belongs to the next unit.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = match value {
        _ if unit == 0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// `1 tag`, `2 tags`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A moment: how long ago, and the exact time for whoever points at it or listens.
pub(crate) fn moment(at: Instant, now: Instant) -> Markup {
    let exact = exact(at);
    html! { time datetime=(exact.machine) title=(exact.people) { (ago(at, now)) } }
}

/// How long ago, as text.
pub(crate) fn moment_text(at: Instant, now: Instant) -> String {
    ago(at, now)
}

struct Exact {
    machine: String,
    people: String,
}

fn exact(at: Instant) -> Exact {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(time) => Exact {
            machine: time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            people: time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        },
        Err(_) => Exact { machine: String::new(), people: "at no time there is".to_owned() },
    }
}

fn ago(at: Instant, now: Instant) -> String {
    let passed = now.0.saturating_sub(at.0);
    let told = |number: i64, one: &str, many: &str| {
        format!("{} ago", count(u64::try_from(number).unwrap_or_default(), one, many))
    };
    match passed {
        ..0 => "in the future".to_owned(),
        0..MINUTE => "just now".to_owned(),
        MINUTE..HOUR => told(passed / MINUTE, "minute", "minutes"),
        HOUR..DAY => told(passed / HOUR, "hour", "hours"),
        _ if passed < 60 * DAY => told(passed / DAY, "day", "days"),
        _ if passed < 730 * DAY => told(passed / (30 * DAY), "month", "months"),
        _ => told(passed / (365 * DAY), "year", "years"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        let cases = [
            (0, "0 B"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10_485_760, "10.0 MiB"),
            (1_048_575, "1.00 MiB"),
            (123_456_789, "118 MiB"),
            (u64::MAX, "16384 PiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn moments_are_told_from_now() {
        let now = Instant(1_800_000_000_000);
        let cases = [
            (0, "just now"),
            (MINUTE, "1 minute ago"),
            (59 * MINUTE, "59 minutes ago"),
            (HOUR, "1 hour ago"),
            (47 * HOUR, "1 day ago"),
            (90 * DAY, "3 months ago"),
            (800 * DAY, "2 years ago"),
            (-1, "in the future"),
        ];
        for (passed, expected) in cases {
            assert_eq!(ago(Instant(now.0 - passed), now), expected);
        }
        let shown = moment(Instant(0), now).into_string();
        assert!(shown.contains("datetime=\"1970-01-01T00:00:00Z\""), "{shown}");
        assert!(moment(Instant(i64::MAX), now).into_string().contains("at no time there is"));
    }
}
