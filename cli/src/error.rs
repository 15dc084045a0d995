//! What the user is told when something fails, and the exit code that says so to scripts.
//!
//! Libraries name the thing, the path, the digest. Here alone an error becomes a kind with a next
//! step and an exit code.

use std::any::Any;
use std::fmt;
use std::io;

use crate::ui::style;

/// Exit codes, as docker gives them.
pub(crate) mod code {
    /// The command failed.
    pub(crate) const FAILED: u8 = 1;
    /// The command line is wrong, or a container could not be set up.
    pub(crate) const USAGE: u8 = 125;
    /// Control-C: 128 + SIGINT.
    pub(crate) const INTERRUPTED: u8 = 130;
    /// Nobody reads our output: 128 + SIGPIPE.
    pub(crate) const BROKEN_PIPE: u8 = 141;
}

/// The result of a verb and of what verbs are made of.
pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Something to tell the user before giving up.
pub(crate) struct Error {
    message: String,
    hints: Vec<String>,
    code: u8,
    /// Diagnostics already rendered, to be shown as they are before the message.
    excerpt: String,
}

impl Error {
    /// The command failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), code: code::FAILED, excerpt: String::new() }
    }

    /// The command line cannot be obeyed.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::failed(message).code(code::USAGE)
    }

    /// Nothing is left to say: only the exit code counts.
    pub(crate) fn silent(code: u8) -> Self {
        Self::failed("").code(code)
    }

    /// Something users of docker know that this version does not do.
    pub(crate) fn later(what: &str, instead: &str) -> Self {
        let error = Self::usage(format!("{what} comes in a later version of estiba"));
        if instead.is_empty() { error } else { error.hint(instead) }
    }

    /// Sets the exit code.
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Adds a next step.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the next steps that another error names.
    pub(crate) fn hints_of(mut self, other: &Self) -> Self {
        self.hints.extend(other.hints.iter().filter(|hint| !self.hints.contains(hint)).cloned().collect::<Vec<_>>());
        self
    }

    /// Adds rendered diagnostics, which are shown before the message.
    pub(crate) fn excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = excerpt.into();
        self
    }

    /// Says what was being done.
    pub(crate) fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        self.code
    }

    /// The message alone, for tests and for lists of failures.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Writes the whole error to standard error.
    pub(crate) fn report(&self) {
        let mut out = String::new();
        out.push_str(&self.excerpt);
        if !self.excerpt.is_empty() && !self.excerpt.ends_with('\n') {
            out.push('\n');
        }
        if !self.message.is_empty() {
            out.push_str(&format!("{} {}\n", style::error("error:"), shown(&self.message)));
        }
        for hint in &self.hints {
            out.push_str(&format!("{} {}\n", style::hint(" hint:"), shown(hint).replace('\n', "\n       ")));
        }
        crate::ui::err(&out);
    }
}

/// What others wrote is in it: it is shown, not obeyed.
fn shown(text: &str) -> String {
    text.lines().map(style::harmless).collect::<Vec<_>>().join("\n")
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Any library's error: its chain of causes as one line, with what we know to say about it.
impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        let writes = any.is::<io::Error>()
            || any.is::<builder::export::ExportError>()
            || matches!(any.downcast_ref(), Some(builder::Error::Export(_)));
        if writes && is_closed_pipe(&error) {
            return Self::silent(code::BROKEN_PIPE);
        }
        let failed = Self::failed(chain(&error));
        match advice(&error) {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    }
}

/// Whether whoever read our output went away: only a write to standard output or to a user's pipe ends so.
fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Adds what was being done to a failure.
pub(crate) trait While<T> {
    /// Turns the failure into an [`Error`] that starts with `what`.
    fn during(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> While<T> for std::result::Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(what))
    }
}

/// An error and its causes, each said once.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !message.contains(&said) {
            message.push_str(": ");
            message.push_str(&said);
        }
        cause = inner.source();
    }
    message
}

/// What to do about errors that the machine or a registry causes, wherever in the chain they stand.
fn advice(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(hint) = crate::remedy::refusal(error).and_then(crate::remedy::hint) {
            return Some(hint);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::StorageFull => {
                    Some("the disk is full: `estiba prune` frees what nothing needs".to_owned())
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    Some("set --root or $ESTIBA_ROOT to a folder you may write".to_owned())
                }
                _ => None,
            };
        }
        if let Some(error) = error.downcast_ref::<store::Error>()
            && let Some(hint) = about_store(error)
        {
            return Some(hint.to_owned());
        }
        next = error.source();
    }
    None
}

/// What to do about a store that cannot be used.
fn about_store(error: &store::Error) -> Option<&'static str> {
    match error {
        store::Error::Owner { .. } => Some("run as its owner, or set --root or $ESTIBA_ROOT to a folder of yours"),
        store::Error::Newer { .. } => Some("upgrade estiba, or set --root or $ESTIBA_ROOT to another folder"),
        store::Error::NotAStore { .. } => {
            Some("set --root or $ESTIBA_ROOT to an empty folder, or one that is not there yet")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("open /x: {source}")]
    struct Outer {
        source: io::Error,
    }

    #[test]
    fn causes_are_said_once() {
        let error = Outer { source: io::Error::from(io::ErrorKind::StorageFull) };
        let error = Error::from(error);
        assert_eq!(error.message().matches("no storage space").count(), 1, "{error:?}");
        assert!(error.hints[0].contains("estiba prune"));
    }

    #[test]
    fn a_broken_pipe_is_silent() {
        let error = Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((error.message(), error.exit_code()), ("", code::BROKEN_PIPE));
    }
}
