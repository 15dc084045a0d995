//! Path patterns: ignore files, `--exclude` and `--parents`, and the sources of COPY.
//!
//! Two languages share their atoms (`*`, `?`, `[]`, `\`). A [`Glob`] is Go's `filepath.Match`, which COPY's
//! sources are written in. A [`PatternSet`] is what ignore files and `--exclude` hold: there `**` spans directories, a
//! pattern that matches a directory matches all below it, `!` takes back, and the last match wins.
//!
//! Paths are bytes, relative, with `/` between parts and no `.` or `..` among them.

mod compile;
mod glob;
mod ignore;
mod set;

pub use glob::{Glob, go_match};
pub use ignore::{Decision, IgnoreRules};
pub use set::{PatternSet, Scope};

/// A pattern that is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Brackets or escapes are not closed.
    #[error("syntax error in pattern {pattern:?}")]
    Syntax {
        /// The pattern.
        pattern: String,
    },
    /// `!` without a pattern.
    #[error("illegal exclusion pattern: \"!\"")]
    LoneExclamation,
    /// As above, in a line of an ignore file.
    #[error("line {line}: {source}")]
    Line {
        /// The line, from 1.
        line: u32,
        /// What is wrong with it.
        source: Box<PatternError>,
    },
}
