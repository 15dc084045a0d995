//! Colours, where they are welcome.
//!
//! `NO_COLOR` and `CLICOLOR=0` switch them off, `CLICOLOR_FORCE` on; else a terminal that is not
//! `dumb` gets them.

use std::io::IsTerminal;
use std::sync::OnceLock;

use crate::context::variable;

/// Whether standard error takes colours.
pub(crate) fn coloured() -> bool {
    static CHOICE: OnceLock<bool> = OnceLock::new();
    *CHOICE.get_or_init(|| decide(variable, std::io::stderr().is_terminal()))
}

/// Whether standard error is a terminal on which lines can be drawn again.
pub(crate) fn is_live_terminal() -> bool {
    std::io::stderr().is_terminal() && variable("TERM").is_none_or(|term| term != "dumb")
}

fn decide(variable: impl Fn(&str) -> Option<String>, terminal: bool) -> bool {
    if variable("NO_COLOR").is_some() {
        return false;
    }
    if variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    terminal && variable("CLICOLOR").as_deref() != Some("0") && variable("TERM").as_deref() != Some("dumb")
}

fn paint(code: &str, text: &str) -> String {
    if coloured() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// The word `error:`.
pub(crate) fn error(text: &str) -> String {
    paint("1;31", text)
}

/// The word `hint:`.
pub(crate) fn hint(text: &str) -> String {
    paint("1;36", text)
}

/// The word `warning:`.
pub(crate) fn warning(text: &str) -> String {
    paint("1;33", text)
}

/// What went well.
pub(crate) fn good(text: &str) -> String {
    paint("32", text)
}

/// What matters less.
pub(crate) fn dim(text: &str) -> String {
    paint("2", text)
}

/// Takes out what could steer the terminal: what a process of a build writes is shown, not obeyed.
pub(crate) fn harmless(line: &str) -> String {
    if line.chars().all(|c| !c.is_control()) {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\t' => out.push_str("    "),
            '\x1b' => skip_escape(&mut chars),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        // A control sequence ends with a letter (or another byte from @ to ~).
        Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
        // An operating system command ends with BEL or ESC \.
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\x07' || (c == '\x1b' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides() {
        let with =
            |name: &'static str, value: &'static str| move |asked: &str| (asked == name).then(|| value.to_owned());
        assert!(decide(|_| None, true));
        assert!(!decide(|_| None, false));
        assert!(!decide(with("NO_COLOR", "1"), true));
        assert!(!decide(with("TERM", "dumb"), true));
        assert!(!decide(with("CLICOLOR", "0"), true));
        assert!(decide(with("CLICOLOR_FORCE", "1"), false));
    }

    #[test]
    fn output_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\x1b[31mred\x1b[0m\x1b]0;title\x07b\rc\x08"), "aredbc");
        assert_eq!(harmless("a\tb"), "a    b");
    }
}
