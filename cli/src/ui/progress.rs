//! The road from a build's events to one of the displays.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use builder::Event;
use serde::{Deserialize, Serialize};

use super::{json, plain, style, tty};

/// How often a live display moves without an event.
const TICK: Duration = Duration::from_millis(100);

/// How the names of vertices begin that no instruction stands for.
pub(crate) const INTERNAL: &str = "[internal]";

/// How a build shows its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Mode {
    /// A live tree on a terminal, plain lines elsewhere
    Auto,
    /// A live tree
    Tty,
    /// Lines
    Plain,
    /// One JSON object an event, on standard error
    #[value(name = "rawjson")]
    RawJson,
    /// Nothing but errors
    #[value(alias = "none")]
    Quiet,
}

impl Mode {
    /// Replaces `auto` by what this terminal is fit for.
    pub(crate) fn settle(self) -> Self {
        match self {
            Self::Auto if style::is_live_terminal() => Self::Tty,
            Self::Auto => Self::Plain,
            other => other,
        }
    }
}

/// Something that shows events.
pub(crate) trait Display {
    /// Shows one.
    fn event(&mut self, event: &Event);
    /// Time passed.
    fn tick(&mut self) {}
    /// The build is over; what moved on the terminal is cleared.
    fn finish(&mut self) {}
}

/// The display for a mode; `shown` steps were shown before.
fn display(mode: Mode, shown: usize) -> Box<dyn Display> {
    match mode.settle() {
        Mode::Tty | Mode::Auto => Box::new(tty::Tree::new()),
        Mode::Plain => Box::new(plain::Lines::after(shown)),
        Mode::RawJson => Box::new(json::Raw),
        Mode::Quiet => Box::new(Nothing),
    }
}

struct Nothing;

impl Display for Nothing {
    fn event(&mut self, _event: &Event) {}
}

/// Shows events until the build lets go of its end; `shown` steps were shown before. `see` sees each first, and says whether
/// it is shown.
pub(crate) fn follow(mode: Mode, shown: usize, events: &Receiver<Event>, see: &mut dyn FnMut(&Event) -> bool) {
    let mut display = display(mode, shown);
    loop {
        match events.recv_timeout(TICK) {
            Ok(event) if see(&event) => display.event(&event),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => display.tick(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    display.finish();
}

/// The lines that end in a text; what comes after the last line feed stays in `rest`.
///
/// A carriage return starts a line over: progress bars end as their last state.
pub(crate) fn take_lines(rest: &mut String, text: &str) -> Vec<String> {
    /// A process that writes no line feed must not fill our memory.
    const LONGEST_LINE: usize = 64 << 10;
    rest.push_str(text);
    let mut lines = Vec::new();
    while let Some(end) = rest.find('\n').map(|at| at + 1).or_else(|| (rest.len() > LONGEST_LINE).then_some(rest.len()))
    {
        let line: String = rest.drain(..end).collect();
        lines.push(last_state(&line));
    }
    lines
}

/// What of a line is left once its carriage returns are obeyed.
pub(crate) fn last_state(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    style::harmless(line.rsplit('\r').next().unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole() {
        let mut rest = String::new();
        assert!(take_lines(&mut rest, "ab").is_empty());
        assert_eq!(take_lines(&mut rest, "c\n10%\r20%\r\nx"), ["abc", "20%"]);
        assert_eq!(rest, "x");
    }
}
