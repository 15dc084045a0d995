//! What can go wrong with containers as folders.

use std::io;
use std::path::{Path, PathBuf};

use crate::id::NameError;

/// What can go wrong with containers as folders.
#[derive(Debug, thiserror::Error)]
pub enum ContainersError {
    /// The system refused.
    #[error("{call} {path}: {source}")]
    Io {
        /// What was tried.
        call: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file of ours holds something else.
    #[error("{path}: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A later version of this program wrote it.
    #[error("{path} has the format {found}, and this estiba reads {}: a newer one made it", crate::config::VERSION)]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its number.
        found: u32,
    },
    /// There is none of this name.
    #[error("no such container: {0}")]
    NoSuch(String),
    /// There are several.
    #[error("{0} is the beginning of several ids")]
    Ambiguous(String),
    /// Another container has the name.
    #[error("the name {name} is taken by container {id}")]
    Taken {
        /// The name.
        name: String,
        /// The other's id, cut.
        id: String,
    },
    /// It is at work, or being started or removed.
    #[error("container {0} is in use by another command")]
    Busy(String),
    /// A name that none can have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A kernel call failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

impl ContainersError {
    /// Whether it says that a container's own files hold what cannot be read.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Malformed { .. } | Self::Newer { .. })
    }

    /// Whether it says that the disk is full.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// The result of what is done with containers.
pub type Result<T, E = ContainersError> = std::result::Result<T, E>;

/// For `map_err`: what was tried, and where.
pub(crate) fn io_at(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ContainersError + use<> {
    let path = path.to_path_buf();
    move |source| ContainersError::Io { call, path, source }
}
