//! Why something could not be fetched.

use std::io;
use std::path::{Path, PathBuf};

use oci::Digest;

/// Why a file, a checkout or an archive could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A server.
    #[error(transparent)]
    Web(#[from] remote::web::WebError),
    /// Git.
    #[error(transparent)]
    Git(#[from] remote::git::GitError),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The store is full.
    #[error(transparent)]
    Room(#[from] store::RoomError),
    /// A kernel call.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// An archive is damaged, or hostile.
    #[error("the archive: {0}")]
    Archive(#[from] layer::ReadError),
    /// An archive that would fill the file system with names.
    #[error("the archive: it has more than {0} entries")]
    Entries(u64),
    /// An archive cannot be decompressed.
    #[error("the archive: {0}")]
    Compression(#[from] layer::CompressionError),
    /// A file or folder.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is another one than it had to be.
    #[error("{url} is {found}, not {wanted}")]
    Checksum {
        /// Its address, without a login.
        url: String,
        /// What it is.
        found: Digest,
        /// What it had to be.
        wanted: Digest,
    },
    /// A checkout has no such folder.
    #[error("{url} has no folder {subdir:?} at commit {commit}")]
    Subdir {
        /// The repository, without a login.
        url: String,
        /// The folder.
        subdir: String,
        /// The commit.
        commit: String,
    },
}

impl SourceError {
    pub(super) fn io(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { call, path, source }
    }
}
