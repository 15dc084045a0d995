//! Push: from the store into a repository, making what must be made while it is sent.

use std::sync::Arc;

use oci::{Descriptor, Digest, Platform, Reference};
use remote::Client;
use runtime::ladder::Probe;
use store::Store;

use crate::Compress;
use crate::transfer::Sink;

/// Layers that are on their way side by side where nothing else is said.
const PARALLEL: usize = 3;

/// How an image is pushed.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// The form of layers that are in no compressed form yet (gzip where none is named); of all, with `force`.
    pub compress: Compress,
    /// Layers side by side.
    pub parallel: usize,
    /// Of an index, push the image of this platform alone, and not the index.
    pub platform: Option<Platform>,
    /// Send chunks of so many bytes instead of one stream.
    pub chunk: Option<u64>,
    /// Push by digest, whatever tag the reference has.
    pub untagged: bool,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self { compress: Compress::default(), parallel: PARALLEL, platform: None, chunk: None, untagged: false }
    }
}

/// What a push brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest or index as it is in the repository now.
    pub descriptor: Descriptor,
    /// Bytes that moved.
    pub moved: u64,
}

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
}

/// Pushes an image of the store: `image` is a manifest or an index, `to` names the repository and the tag.
///
/// Without `probe` (which was entered) trees of an ordinary user are not read: [`PushError::NeedsSandbox`].
///
/// # Errors
/// See [`PushError`]. What was sent stays, and is not sent again.
pub async fn push(
    store: &Arc<Store>,
    client: &Client,
    image: &Digest,
    to: &Reference,
    options: &PushOptions,
    probe: Option<&Probe>,
    sink: &Sink,
) -> Result<Pushed, PushError> {
    let _ = (store, client, image, to, options, probe, sink);
    Err(remote::Error::Setup("push is not there yet".to_owned()).into())
}
