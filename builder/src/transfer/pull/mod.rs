//! From a registry into the store.
//!
//! Documents come first (index, manifest, configuration), then layers side by side. A layer is unpacked while it arrives,
//! and has no row before its digest, its size and its DiffId are those that the image says; the image's name comes last.

mod arrive;
mod documents;
mod error;
mod feed;
mod layer;
mod presence;
mod stack;
mod tell;
mod whole;

use std::sync::Arc;

use oci::{Digest, Platform, Reference};
use remote::Client;
use runtime::ladder::Probe;
use store::{LayerId, Store};

pub use error::PullError;
pub(crate) use stack::Failed;
pub(crate) use whole::{Lazy, bring};

use super::event::Sink;
use crate::durable::{self, DurableError};

/// Layers side by side where nobody says: docker's number.
pub const PARALLEL: usize = 3;

/// What is to come.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// For which platform; the host's where none is named. An image that is no index must be for it only if it is named.
    pub platform: Option<Platform>,
    /// Every platform of an index.
    pub all_platforms: bool,
    /// Whether layers come now.
    pub layers: Scope,
    /// Layers side by side.
    pub parallel: usize,
    /// Whether the reference names the image in the store afterwards.
    pub name_it: bool,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self { platform: None, all_platforms: false, layers: Scope::All, parallel: PARALLEL, name_it: true }
    }
}

/// What of an image comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    All,
    /// Index, manifest and configuration; layers when something needs them.
    DocumentsOnly,
}

/// An image that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Its name.
    pub name: Reference,
    /// What the name points at: a manifest, or an index.
    pub top: Digest,
    /// The manifest for the platform; the first one of several.
    pub manifest: Digest,
    /// Bytes of layers and documents that moved in this run.
    pub moved: u64,
    /// Layers that were unpacked now: to be handed to [`sync`] when there is time.
    pub fresh: Vec<LayerId>,
}

/// Pulls what `reference` names. With [`Scope::All`], a process that is not root must be inside the sandbox of its rung,
/// which `probe` says; else [`PullError::NeedsSandbox`] is the answer before anything moves. Runs on any tokio runtime with
/// time and I/O.
///
/// # Errors
/// See [`PullError`]. Nothing that was not verified is visible in the store then, and the next try goes on where this one
/// ended.
pub async fn pull(
    store: &Arc<Store>,
    client: &Client,
    reference: &Reference,
    options: &PullOptions,
    probe: Option<&Probe>,
    sink: &Sink,
) -> Result<Pulled, PullError> {
    whole::pull(store, client, reference, options, probe, sink).await
}

/// Fetches the layers that [`missing`] lists, from where they were seen before; gives those that were unpacked now.
///
/// # Errors
/// As [`pull`]; [`PullError::NoOrigin`] for a layer that was never seen anywhere.
pub async fn complete(
    store: &Arc<Store>,
    client: &Client,
    manifest: &Digest,
    probe: Option<&Probe>,
    sink: &Sink,
) -> Result<Vec<LayerId>, PullError> {
    whole::complete(store, client, manifest, probe, sink).await
}

/// The layers (blobs) of the image with this manifest that have no form in the store, base first. Empty for a complete image.
///
/// # Errors
/// When manifest or configuration are not in the store, or damaged.
pub fn missing(store: &Store, manifest: &Digest) -> Result<Vec<Digest>, PullError> {
    presence::missing(store, manifest)
}

/// The digest that a reference names at its registry now: of a manifest, or of an index.
///
/// # Errors
/// See [`remote::Error`].
pub async fn head(client: &Client, reference: &Reference) -> Result<Digest, PullError> {
    match reference.digest() {
        Some(digest) => Ok(*digest),
        None => documents::tagged(&client.route(reference)?, &documents::tag_of(reference)?).await,
    }
}

/// Brings the trees of these layers to the disk and says so in their rows, so that a restart of the machine does not cost
/// them. What is no longer there is passed over.
///
/// # Errors
/// When the disk or the index fails.
pub fn sync(store: &Store, layers: &[LayerId]) -> Result<(), PullError> {
    if durable::sync_trees(store, layers).is_ok() {
        return Ok(());
    }
    // A collector may have taken one of them meanwhile, its row first: the others are synced all the same.
    let each = layers.iter().map(|layer| durable::sync_trees(store, std::slice::from_ref(layer)));
    each.fold(Ok(()), Result::and).map_err(|error| match error {
        DurableError::Store(error) => error.into(),
        DurableError::Io { call, path, source } => PullError::Io { call, path, source },
    })
}
