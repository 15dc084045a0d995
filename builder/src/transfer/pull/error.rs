//! Why an image could not be pulled.

use oci::{DiffId, Digest, Platform};

use super::arrive::is_of_the_disk;

/// An image that did not come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The registry did not answer, refused, or sent something else.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A document is not JSON of its shape.
    #[error("{what} {digest}: {source}")]
    Document {
        /// `index`, `manifest` or `configuration`.
        what: &'static str,
        /// Which.
        digest: Digest,
        /// Why.
        source: oci::RawError,
    },
    /// Something whose form or size we do not take.
    #[error("{name}: {problem}")]
    Refused {
        /// The image as users write it, or a digest.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The index has nothing for the platform.
    #[error("{name} is not there for {wanted}, only for {}", listed(.there))]
    Platform {
        /// The image.
        name: String,
        /// The platform.
        wanted: Platform,
        /// Those that there are.
        there: Vec<Platform>,
    },
    /// What a layer unpacks to is not what the configuration says.
    #[error("layer {layer} unpacks to {found}, the configuration says {expected}")]
    DiffId {
        /// The layer's blob.
        layer: Digest,
        /// What the configuration says.
        expected: DiffId,
        /// What it is.
        found: DiffId,
    },
    /// A layer could not be unpacked.
    #[error("unpack layer {layer}: {source}")]
    Unpack {
        /// The layer's blob.
        layer: Digest,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A layer is missing here, and no repository is known to have it.
    #[error("layer {layer} is not in the store, and no registry is known that has it")]
    NoOrigin {
        /// The layer's blob.
        layer: Digest,
    },
    /// A cache that is no registry did not give a layer.
    #[error("{problem}")]
    Cache {
        /// What it answered.
        problem: String,
        /// Whether it does not have the layer, or has something else under its name.
        lie: bool,
    },
    /// Files of other owners are to be made: this must run inside the sandbox of the machine's rung.
    #[error("unpacking layers needs the sandbox")]
    NeedsSandbox,
    /// A file or directory of the store.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The path.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something of ours ended before its time.
    #[error("{0}")]
    Broken(String),
}

impl PullError {
    /// Whether a layer is nowhere, or is not what was said of it: asking again is of no use. All else may be another time.
    pub(crate) fn is_lie(&self) -> bool {
        match self {
            Self::Remote(error) => {
                error.is_not_found() || matches!(error, remote::Error::Digest { .. } | remote::Error::Length { .. })
            }
            Self::Cache { lie, .. } => *lie,
            Self::DiffId { .. } | Self::NoOrigin { .. } => true,
            Self::Unpack { source, .. } => source.downcast_ref().is_some_and(|error| !is_of_the_disk(error)),
            _ => false,
        }
    }
}

impl From<store::blobs::Error> for PullError {
    fn from(error: store::blobs::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<store::index::Error> for PullError {
    fn from(error: store::index::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Platforms as a registry says them, without what a terminal would obey.
pub(super) fn listed(there: &[Platform]) -> String {
    let text = there.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    text.chars().filter(|letter| !letter.is_control()).collect()
}
