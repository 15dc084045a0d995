//! Signals by name.

/// Names of signals, by number, as Linux has them on the processors that we run on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// Other names that people use.
const ALIASES: [(&str, i32); 3] = [("IOT", 6), ("POLL", 29), ("CLD", 17)];

/// The first and the last real-time signal that programs have.
const REALTIME: (i32, i32) = (34, 64);

/// What asks a container to end where it does not say otherwise.
pub const SIGTERM: i32 = 15;
/// What ends it.
pub const SIGKILL: i32 = 9;

/// The number of a signal that is written as docker has it: `9`, `KILL`, `SIGKILL`, `RTMIN+3`, in any case.
pub fn parse(written: &str) -> Option<i32> {
    if let Ok(number) = written.parse::<i32>() {
        return (1..=REALTIME.1).contains(&number).then_some(number);
    }
    let upper = written.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return realtime(rest, REALTIME.0);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return realtime(rest, REALTIME.1);
    }
    let known = NAMES.iter().zip(1..).find(|(known, _)| **known == name).map(|(_, number)| number);
    known.or_else(|| ALIASES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number))
}

fn realtime(distance: &str, from: i32) -> Option<i32> {
    let distance = if distance.is_empty() { 0 } else { distance.parse::<i32>().ok()? };
    let number = from.checked_add(distance)?;
    (REALTIME.0..=REALTIME.1).contains(&number).then_some(number)
}

/// Its name: `SIGKILL`, `SIGRTMIN+3`; its number where it has none.
pub fn name(number: i32) -> String {
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    match index.and_then(|index| NAMES.get(index)) {
        Some(name) => format!("SIG{name}"),
        None if (REALTIME.0..=REALTIME.1).contains(&number) => format!("SIGRTMIN+{}", number - REALTIME.0),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        for (written, number) in [
            ("9", 9),
            ("kill", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("SIGRTMIN+3", 37),
            ("RTMAX-14", 50),
            ("RTMIN", 34),
        ] {
            assert_eq!(parse(written), Some(number), "{written}");
        }
        for bad in ["", "0", "65", "-1", "SIG", "NOPE", "RTMIN-1", "RTMAX+1", "RTMIN+x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!((name(9), name(37), name(15)), ("SIGKILL".into(), "SIGRTMIN+3".into(), "SIGTERM".into()));
        assert!((1..=31).all(|number| parse(&name(number)) == Some(number)));
    }
}
