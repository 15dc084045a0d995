//! The syntax tree.

use crate::diagnostic::Diagnostic;
use crate::source::SourceText;

/// A Dockerfile as a tree.
#[derive(Clone, Debug, Default)]
pub struct Dockerfile {}

/// What [`parse`] found: always a tree, and everything that is wrong.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The tree; statements with errors are missing from it.
    pub dockerfile: Dockerfile,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses a Dockerfile. Never stops at the first error.
pub fn parse(source: &SourceText) -> Parsed {
    let _ = source;
    todo!()
}
