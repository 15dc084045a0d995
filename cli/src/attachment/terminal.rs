//! Our own terminal.

use std::io::{self, IsTerminal};

use runtime::container::WindowSize;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::{Error, Result, While};

/// The size of a terminal that does not say its own.
const FALLBACK: WindowSize = WindowSize { rows: 24, columns: 80 };

/// docker's check, with its words.
pub(crate) fn check(interactive: bool, tty: bool) -> Result {
    if interactive && tty && !io::stdin().is_terminal() {
        return Err(
            Error::failed("the input device is not a TTY").hint("leave -t out: `-i` alone passes standard input on")
        );
    }
    Ok(())
}

/// The size of our terminal, or a usual one.
pub(crate) fn window_size() -> WindowSize {
    match tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin())) {
        Ok(size) if size.ws_row > 0 => WindowSize { rows: size.ws_row, columns: size.ws_col },
        _ => FALLBACK,
    }
}

/// Our terminal without its own ideas about keys; as it was when dropped.
pub(super) struct Raw(Termios);

impl Raw {
    /// `None` when standard input is not a terminal.
    pub(super) fn enter() -> Result<Option<Self>> {
        let Ok(before) = tcgetattr(io::stdin()) else { return Ok(None) };
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).during("set the terminal up")?;
        Ok(Some(Self(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is no one left to tell, and nothing else to try.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
