//! Skipped checks are named, never silent.
//!
//! The test command points `ESTIBA_SKIPS` at a file and prints its lines last; a lone
//! `cargo test -- --nocapture` sees them on standard error.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that the running test is skipped and why. The caller returns afterwards.
///
/// The test's name is that of its thread, as libtest gives it.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    if let Some(path) = std::env::var_os("ESTIBA_SKIPS") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        // One write a line: appends of several test processes do not mix.
        if let Ok(mut file) = file
            && file.write_all(line.as_bytes()).is_ok()
        {
            return;
        }
    }
    // Standard error is the last place left to say it; a failure there has nowhere to go.
    let _ = write!(std::io::stderr(), "skipped: {line}");
}
