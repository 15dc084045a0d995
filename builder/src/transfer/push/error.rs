//! Why an image was not pushed.

use oci::Digest;

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// A layer's files can only be read inside the namespaces in which they were made: enter them and push again.
    #[error("a layer's files belong to other users of this store: reading them takes its namespaces")]
    NeedsSandbox,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The registry, or the way to it, failed.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// A layer could not be made.
    #[error(transparent)]
    Export(#[from] crate::export::ExportError),
    /// A document is not what it should be.
    #[error("{digest}: {source}")]
    Document {
        /// Which.
        digest: Digest,
        /// Why.
        source: oci::RawError,
    },
    /// What is said of an image could not be said of what it becomes.
    #[error("attestation {digest}: {source}")]
    Attestation {
        /// Its manifest.
        digest: Digest,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A document is neither a manifest nor an index.
    #[error("{digest} is {problem}")]
    NotAnImage {
        /// Which.
        digest: Digest,
        /// What it is.
        problem: &'static str,
    },
    /// A manifest, a configuration or a layer is neither here nor where it was seen.
    #[error("{what} {digest} is not in the store, and no registry is known to have it")]
    Gone {
        /// `layer`, `manifest`, …
        what: &'static str,
        /// Which.
        digest: Digest,
        /// What the last registry said that was asked for it.
        #[source]
        source: Option<remote::Error>,
    },
    /// An index has no image for the platform.
    #[error("{index} lists no image for {platform}: it has {have}")]
    NoPlatform {
        /// Which.
        index: Digest,
        /// What was asked for.
        platform: String,
        /// What there is.
        have: String,
    },
    /// The target names a digest, and what would be pushed has another.
    #[error("the image becomes {made} when it is pushed, not the {named} that was named")]
    OtherDigest {
        /// In the reference.
        named: Digest,
        /// What it is.
        made: Digest,
    },
    /// A thread ended without a result.
    #[error("a layer's thread panicked")]
    Panicked,
}

impl From<store::blobs::Error> for PushError {
    fn from(error: store::blobs::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<store::index::Error> for PushError {
    fn from(error: store::index::Error) -> Self {
        Self::Store(error.into())
    }
}
