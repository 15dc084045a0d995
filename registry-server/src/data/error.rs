//! What can go wrong with a data directory.

use std::path::{Path, PathBuf};

/// Why work on a data directory ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A kernel call failed.
    #[error("{call} {}: {source}", path.display())]
    Io {
        /// The call.
        call: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The metadata failed.
    #[error(transparent)]
    Metadata(#[from] crate::metadata::Error),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] crate::storage::Error),
    /// The directory is of a newer program.
    #[error(
        "{} has version {found} of the data directory, and this program knows {known}: use a newer one",
        root.display()
    )]
    Newer {
        /// The directory.
        root: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// The directory is of an older program, and nothing leads from there to here.
    #[error("{} has version {found} of the data directory, which this program cannot migrate: {why}", root.display())]
    Older {
        /// The directory.
        root: PathBuf,
        /// Its version.
        found: u32,
        /// What would help.
        why: String,
    },
    /// The directory is something else.
    #[error("{} is not a registry's data directory: {why}", root.display())]
    Foreign {
        /// The directory.
        root: PathBuf,
        /// What tells.
        why: String,
    },
    /// What is to be read makes no sense.
    #[error("{what}: {why}")]
    Malformed {
        /// A file, or a part of one.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Whoever asked went away.
    #[error("it was interrupted; what was done so far stays, and another run goes on from there")]
    Interrupted,
}

/// The result of work on a data directory.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an error of a kernel call's, for `map_err`.
    pub(crate) fn io<'p>(call: &'static str, path: &'p Path) -> impl FnOnce(std::io::Error) -> Self + 'p {
        move |source| Self::Io { call, path: path.to_path_buf(), source }
    }
}
