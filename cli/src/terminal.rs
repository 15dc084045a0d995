//! Our own terminal, and the size of another.

use std::io;
use std::os::fd::AsFd;

use runtime::container::WindowSize;
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::error::{Result, While};

/// The size of a terminal that does not say its own.
const FALLBACK: WindowSize = WindowSize { rows: 24, columns: 80 };

/// The size of our terminal, or a usual one.
pub(crate) fn window_size() -> WindowSize {
    match tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin())) {
        Ok(size) if size.ws_row > 0 => WindowSize { rows: size.ws_row, columns: size.ws_col },
        _ => FALLBACK,
    }
}

/// Tells a terminal its size.
pub(crate) fn resize(terminal: impl AsFd, size: WindowSize) {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // A terminal that is gone needs no size.
    let _ = tcsetwinsize(terminal, size);
}

/// Our terminal without its own ideas about keys; as it was when dropped.
pub(crate) struct Raw(Termios);

impl Raw {
    /// `None` when standard input is not a terminal.
    pub(crate) fn enter() -> Result<Option<Self>> {
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
