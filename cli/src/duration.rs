//! Times and spans as docker prints and reads them.

use std::time::Duration;

/// "2 weeks ago": Go's `units.HumanDuration`, which scripts and eyes are used to.
pub(crate) fn ago(seconds: i64) -> String {
    format!("{} ago", human(seconds.max(0)))
}

fn human(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Rounded, as docker does from hours on.
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (..1, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, ..60, _) => format!("{minutes} minutes"),
        (_, _, ..=1) => "About an hour".to_owned(),
        (_, _, ..48) => format!("{hours} hours"),
        (_, _, ..336) => format!("{} days", hours / 24),
        (_, _, ..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, ..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// `24h`, `1h30m`, `10s`, `7d`: Go's durations and days.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut total = 0f64;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number * unit_seconds(&rest[..unit])?;
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(total).ok()
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    })
}

/// `2024-05-01 10:00:00 +0000 UTC`: how docker's tables and templates print a moment.
pub(crate) fn moment(unix: i64) -> String {
    match jiff::Timestamp::from_second(unix) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        Err(_) => "N/A".to_owned(),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Bytes as docker prints them: decimal, three digits (`72.8MB`).
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{}{}", three_digits(value), UNITS[unit])
}

/// Go's `%.3g` for values below 1000.
fn three_digits(value: f64) -> String {
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let shown = format!("{value:.decimals$}");
    if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.').to_owned() } else { shown }
}

/// `100m`, `1g`, `512`: bytes as docker's options read them, in powers of 1024.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    store::room::parse_size(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_docker_says_them() {
        let cases = [
            (0, "Less than a second ago"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (61, "About a minute ago"),
            (180, "3 minutes ago"),
            (3600, "About an hour ago"),
            (3 * 3600, "3 hours ago"),
            (50 * 3600, "2 days ago"),
            (15 * 86_400, "2 weeks ago"),
            (100 * 86_400, "3 months ago"),
            (800 * 86_400, "2 years ago"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(ago(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn durations_and_sizes() {
        assert_eq!(parse("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(parse("x"), None);
        assert_eq!(parse("5"), None);
        let cases = [
            (0, "0B"),
            (999, "999B"),
            (72_812_345, "72.8MB"),
            (4_260_000, "4.26MB"),
            (1_200_000_000, "1.2GB"),
            (1000, "1kB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(parse_size("64m"), Some(64 << 20));
        assert_eq!(parse_size("1GiB"), Some(1 << 30));
        assert_eq!(parse_size("12"), Some(12));
        assert_eq!(parse_size("1x"), None);
        assert_eq!(moment(0), "1970-01-01 00:00:00 +0000 UTC");
    }
}
