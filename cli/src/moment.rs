//! Moments as users write them: `--since`, `--until`.

use containers::time::Moment;

use crate::duration;

/// RFC 3339, a date, a date and a time (UTC where no zone is written), seconds since 1970, or a span before now.
pub(crate) fn parse(text: &str) -> Result<Moment, String> {
    // A number alone is a moment, as docker has it, and no span.
    if let Some(moment) = seconds(text) {
        return Ok(moment);
    }
    let now = Moment::now();
    if let Some(span) = duration::parse(text.strip_prefix('-').unwrap_or(text)) {
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        // A minus sign, as podman has it for `--until`, means the same: nothing is awaited from the future.
        return Ok(Moment(now.0.saturating_sub(span)));
    }
    Moment::parse_rfc3339(text).or_else(|| civil(text)).ok_or_else(|| {
        "expected a time (2026-01-02T15:04:05Z, 2026-01-02), seconds since 1970, or a span (10m, 1h30m)".to_owned()
    })
}

/// `1700000000`, `1700000000.5`.
fn seconds(text: &str) -> Option<Moment> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds: u64 = format!("{fraction:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanoseconds).map(Moment)
}

/// Without a zone.
fn civil(text: &str) -> Option<Moment> {
    let full = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        _ => format!("{text}Z"),
    };
    Moment::parse_rfc3339(&full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, seconds) in [
            ("1700000000", 1_700_000_000.0),
            ("1700000000.25", 1_700_000_000.25),
            ("2023-11-14T22:13:20Z", 1_700_000_000.0),
            ("2023-11-14T23:13:20+01:00", 1_700_000_000.0),
            ("2023-11-14T22:13:20", 1_700_000_000.0),
            ("2023-11-14T22:13", 1_699_999_980.0),
            ("2023-11-14", 1_699_920_000.0),
        ] {
            // Milliseconds: nanoseconds since 1970 are more than a float holds.
            assert_eq!((parse(text).unwrap().0 / 1_000_000) as f64, seconds * 1000.0, "{text}");
        }
        let then = parse("10m").unwrap();
        assert!(Moment::now().0 - then.0 >= 600_000_000_000);
        for bad in ["", "yesterday", "12:00", "1.2.3", "10x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
