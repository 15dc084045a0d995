//! What the user sees: tables, styles, and the displays of a build's progress and of a transfer's.

pub(crate) mod graph;
pub(crate) mod json;
pub(crate) mod plain;
pub(crate) mod progress;
pub(crate) mod secret;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod transfer;
pub(crate) mod tty;

use std::io::{self, Write};

/// Writes `text` to standard output; a reader that went away is an error like any other.
pub(crate) fn out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes `text` to standard error. That nobody listens there is not worth failing for.
pub(crate) fn err(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// Tells on standard error what a user should know, and what is no error.
pub(crate) fn note(text: &str) {
    err(&format!("{} {}\n", style::warning("note:"), style::harmless(text)));
}

/// One object by `format`: `json`, or a Go template.
pub(crate) fn object(format: &str, value: &serde_json::Value) -> crate::error::Result<String> {
    let mut text = match format {
        "json" => serde_json::to_string(value)?,
        template => table::parse(&table::unescape(template))?.render(value).map_err(table::bad_template)?,
    };
    text.push('\n');
    Ok(text)
}
