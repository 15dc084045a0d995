//! Local garbage collection: marks over the store's edges, then sweeps.
//!
//! Roots are the images' names, the cache's records, and what live processes pinned. An image names a manifest, a manifest its
//! config and layers; a layer is its row, its tree, its record of headers or its split, and its blob. What is younger than the oldest
//! live lease is spared: a running build may have made it and named it nowhere yet. Rows go before files, so that a
//! collection that dies leaves files that the next one finds, and never a name for nothing.

mod compressed;
mod elsewhere;
mod mark;
mod sweep;
mod usage;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::Store;

use crate::Error;

/// What `prune` may take away.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PruneOptions {
    /// Also cache records that are still good, and cache mounts.
    pub all: bool,
    /// Only what was not used for this long.
    pub until: Option<Duration>,
    /// Stop when the store is this small, in bytes.
    pub keep_storage: Option<u64>,
    /// Names of images that go first; what only they need goes with them.
    pub forget: Vec<String>,
    /// Only count what would go, and take nothing away.
    pub dry_run: bool,
}

/// What `prune` took away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// Cache records.
    pub records: u64,
    /// Layers of either form.
    pub layers: u64,
    /// Blobs.
    pub blobs: u64,
    /// Cache mounts.
    pub mounts: u64,
    /// Bytes on disk, about.
    pub bytes: u64,
}

/// What the store holds, for `df`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// One line each: images, build cache, cache mounts, logs.
    pub rows: Vec<UsageRow>,
}

/// A line of `df`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// "Images", "Build cache", "Cache mounts", "Logs".
    pub kind: String,
    /// How many.
    pub total: u64,
    /// How many are in use.
    pub active: u64,
    /// Bytes on disk.
    pub size: u64,
    /// Bytes that `prune` (`prune --all` for caches) would free.
    pub reclaimable: u64,
}

/// Why a collection failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GcError {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A tree.
    #[error(transparent)]
    Layer(#[from] crate::layers::LayerError),
    /// A kernel call.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// A file or directory.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The path.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Takes away what nothing needs, or counts it for a dry run. Safe beside running builds.
///
/// # Errors
/// When the store fails; what was taken away until then is gone, and nothing is half there.
pub fn prune(store: &Store, options: &PruneOptions) -> Result<Pruned, Error> {
    sweep::prune(store, options).map_err(|error| Error::other("prune", error))
}

/// Counts what the store holds.
///
/// # Errors
/// When the store fails.
pub fn usage(store: &Store) -> Result<Usage, Error> {
    usage::usage(store).map_err(|error| Error::other("count what the store holds", error))
}
