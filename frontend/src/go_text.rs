//! Values as Go prints them: history entries carry them, and tools compare them.

use std::fmt::Write as _;

/// Go's `%q` of a list: `["a" "b"]`.
pub(crate) fn quoted_list(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    format!("[{}]", quoted.join(" "))
}

/// Go's `%v` of a list: `[a b]`.
pub(crate) fn plain_list(values: &[String]) -> String {
    format!("[{}]", values.join(" "))
}

/// Go's `%q` of a string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c < ' ' || c == '\u{7f}' => drop(write!(out, "\\x{:02x}", c as u32)),
            c if c.is_control() || (c.is_whitespace() && c != ' ') => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Go's text of a duration in nanoseconds: `1m30s`, `1.5s`, `100ms`.
pub(crate) fn duration(nanoseconds: i64) -> String {
    let total = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let fraction = |unit: u64, name: &str| {
        let whole = total / unit;
        let digits = unit.ilog10() as usize;
        let rest = format!("{:0digits$}", total % unit);
        let rest = rest.trim_end_matches('0');
        let dot = if rest.is_empty() { "" } else { "." };
        (whole, format!("{dot}{rest}{name}"))
    };
    if total == 0 {
        return "0s".to_owned();
    }
    if total < 1_000 {
        return format!("{sign}{total}ns");
    }
    for (unit, name) in [(1_000, "µs"), (1_000_000, "ms")] {
        if total < unit * 1_000 {
            let (whole, rest) = fraction(unit, name);
            return format!("{sign}{whole}{rest}");
        }
    }
    let (seconds, rest) = fraction(1_000_000_000, "s");
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{sign}{seconds}{rest}"),
        (0, minutes, seconds) => format!("{sign}{minutes}m{seconds}{rest}"),
        (hours, minutes, seconds) => format!("{sign}{hours}h{minutes}m{seconds}{rest}"),
    }
}

/// Reads a duration as Go's `time.ParseDuration` does, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let length = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..length] {
            "ns" => 1f64,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        rest = &rest[length..];
        total += number * unit;
    }
    (total < i64::MAX as f64).then_some((sign * total).round() as i64)
}

/// Reads a boolean as Go's `strconv.ParseBool` does.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let list = ["sh".to_owned(), "a \"b\"\n\u{1}é".to_owned()];
        assert_eq!(quoted_list(&list), "[\"sh\" \"a \\\"b\\\"\\n\\x01é\"]");
        assert_eq!(plain_list(&list[..1]), "[sh]");
        assert_eq!(quoted_list(&[]), "[]");
    }

    #[test]
    fn durations() {
        for (text, nanoseconds, shown) in [
            ("30s", 30_000_000_000, "30s"),
            ("5m", 300_000_000_000, "5m0s"),
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("100ms", 100_000_000, "100ms"),
            ("1500us", 1_500_000, "1.5ms"),
            ("0", 0, "0s"),
            ("7ns", 7, "7ns"),
            ("90s", 90_000_000_000, "1m30s"),
        ] {
            assert_eq!(parse_duration(text), Some(nanoseconds), "{text}");
            assert_eq!(duration(nanoseconds), shown);
        }
        for bad in ["", "3", "s", "1x", "1s2", "--1s", "99999999999h"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
