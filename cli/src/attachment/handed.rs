//! What whoever started us left open for the container's program: a service manager's sockets (`LISTEN_FDS`), and what
//! `--preserve-fds` counts.

use containers::supervisor::{Handed, MAX_HANDED, Sockets};

use crate::error::{Error, Result};

/// The first descriptor after the standard streams.
const FIRST: i32 = 3;

/// Takes them: `preserve` from 3 on, or as many as there are sockets for this process, whichever is more.
///
/// # Errors
/// One that is not open; more than can be handed on.
pub(crate) fn inherited(preserve: usize) -> Result<Handed> {
    let variable = |name: &str| std::env::var(name).ok();
    let sockets = sockets(variable, std::process::id());
    let listens = sockets.as_ref().map_or(0, |sockets| sockets.count);
    let count = preserve.max(listens);
    let what = if preserve >= listens { "--preserve-fds" } else { "LISTEN_FDS" };
    if count > MAX_HANDED {
        return Err(Error::usage(format!(
            "{what}: {count} are more than the {MAX_HANDED} descriptors that a container can be handed"
        )));
    }
    let fds = sys::inherit::take_all(FIRST, count).map_err(|error| {
        Error::usage(format!("{what}: not all of the {count} descriptors from {FIRST} on are open: {error}"))
    })?;
    Ok(Handed { fds, sockets })
}

/// What a service manager says of the sockets that it gives to `process`.
fn sockets(variable: impl Fn(&str) -> Option<String>, process: u32) -> Option<Sockets> {
    let number = |name: &str| variable(name)?.parse::<usize>().ok();
    // Meant for another: we inherited only the words.
    if number("LISTEN_PID")? != usize::try_from(process).ok()? {
        return None;
    }
    let count = number("LISTEN_FDS").filter(|count| *count > 0)?;
    Some(Sockets { count, names: variable("LISTEN_FDNAMES") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_for_who_is_named() {
        let told = |pairs: &'static [(&str, &str)]| {
            sockets(|name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()), 7)
        };
        let two = Sockets { count: 2, names: Some("a:b".to_owned()) };
        assert_eq!(told(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "a:b")]), Some(two));
        assert_eq!(told(&[("LISTEN_PID", "8"), ("LISTEN_FDS", "2")]), None);
        assert_eq!(told(&[("LISTEN_FDS", "2")]), None);
        assert_eq!(told(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "0")]), None);
        assert_eq!(told(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "-1")]), None);
        assert_eq!(told(&[("LISTEN_PID", "7")]), None);
    }
}
