//! Why a copy failed.

use std::io;
use std::path::{Path, PathBuf};

use oci::{Digest, Platform};

use crate::export::ExportError;
use crate::import::ImportError;
use crate::transfer::pull::PullError;
use crate::transfer::push::PushError;

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// A registry failed.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// The image could not be brought into the store.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The image could not be sent from the store.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The store's image could not be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// An archive could not be brought into the store.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An archive is no sound tar.
    #[error("{path}: {source}")]
    Tar {
        /// The file.
        path: PathBuf,
        /// Why.
        source: layer::ReadError,
    },
    /// A file could not be read or written.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A blob's bytes could not be had.
    #[error("{digest}: {message}")]
    Bytes {
        /// The blob.
        digest: Digest,
        /// Why.
        message: String,
    },
    /// The bytes are not those of the digest.
    #[error("the content of {expected} has digest {found}")]
    Digest {
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// There are more or fewer bytes than there should be.
    #[error("{digest} has {found} bytes instead of {expected}")]
    Length {
        /// Which.
        digest: Digest,
        /// What was announced.
        expected: u64,
        /// What there is, as far as it was read.
        found: u64,
    },
    /// A manifest or an index makes no sense.
    #[error("manifest {digest}: {problem}")]
    Document {
        /// Which.
        digest: Digest,
        /// What is wrong.
        problem: String,
    },
    /// Not a layout.
    #[error("{path} is not an OCI layout: {problem}")]
    NoLayout {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The archive is compressed, which only the store's import reads.
    #[error("{path} is compressed ({compression}): decompress it first, or bring it into the store with `load`")]
    Compressed {
        /// The file.
        path: PathBuf,
        /// How.
        compression: &'static str,
    },
    /// There is no image of that name, or several and none was named.
    #[error("{place}: {problem}{}", offered(.there))]
    Choice {
        /// Where.
        place: String,
        /// What was wanted.
        problem: String,
        /// What there is.
        there: Vec<String>,
    },
    /// An index has nothing for the platform.
    #[error("{place}: nothing for {wanted}{}", offered(.there))]
    Platform {
        /// Where.
        place: String,
        /// What was wanted.
        wanted: Platform,
        /// What there is.
        there: Vec<String>,
    },
    /// The image would have another digest at the target.
    #[error("{place} would get digest {found} instead of {expected}")]
    Changed {
        /// Where.
        place: String,
        /// What it should have.
        expected: Digest,
        /// What it would have.
        found: Digest,
    },
    /// More than a copy takes.
    #[error("more than {limit} {what}: this is no image")]
    TooMany {
        /// How many are too many.
        limit: usize,
        /// What.
        what: &'static str,
    },
    /// These two cannot be joined.
    #[error("cannot copy from `{from}:` to `{to}:`{}{why}", if .why.is_empty() { "" } else { ": " })]
    Pair {
        /// Where from.
        from: &'static str,
        /// Where to.
        to: &'static str,
        /// Why, or what helps.
        why: &'static str,
    },
    /// A name is none.
    #[error(transparent)]
    Place(#[from] super::PlaceError),
    /// There is no store, and one is needed.
    #[error("`store:{0}` is not there: the store is empty")]
    NoStore(String),
}

/// At most so many of what there is are listed.
const LISTED: usize = 12;

fn offered(there: &[String]) -> String {
    match there {
        [] => String::new(),
        there if there.len() > LISTED => {
            format!("; there is {} and {} more", there[..LISTED].join(", "), there.len() - LISTED)
        }
        there => format!("; there is {}", there.join(", ")),
    }
}

impl CopyError {
    pub(super) fn io(call: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { call, path: path.to_path_buf(), source }
    }

    /// A task that ended without an answer.
    pub(super) fn lost(error: &tokio::task::JoinError) -> Self {
        Self::io("run", Path::new("a thread"), io::Error::other(error.to_string()))
    }
}

impl From<store::blobs::Error> for CopyError {
    fn from(error: store::blobs::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<store::index::Error> for CopyError {
    fn from(error: store::index::Error) -> Self {
        Self::Store(error.into())
    }
}
