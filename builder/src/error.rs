//! What can go wrong with a build as a whole.

use graph::Location;

/// A build that gave no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operation failed.
    #[error("{name}: {source}")]
    Vertex {
        /// The vertex, as people read it.
        name: String,
        /// Where the Dockerfile says it.
        location: Option<Location>,
        /// A RUN's exit code.
        exit_code: Option<i32>,
        /// The last lines of its log.
        log_tail: Vec<String>,
        /// Where its whole log is.
        log: Option<std::path::PathBuf>,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The build was cancelled (exit code 130).
    #[error("cancelled")]
    Cancelled,
    /// An export failed.
    #[error("export: {0}")]
    Export(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else that the build stands on.
    #[error("{what}: {source}")]
    Other {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Wraps an error with what was being done.
    pub(crate) fn other(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other { what: what.into(), source: source.into() }
    }
}
