//! `--progress=rawjson`: events as they are, one JSON object a line on standard error.

use builder::Event;

use super::progress::Display;

/// The display that displays nothing: it writes the data.
pub(crate) struct Raw;

impl Display for Raw {
    fn event(&mut self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            super::err(&(line + "\n"));
        }
    }
}
