//! Local garbage collection: marks over the store's edges, then sweeps.

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

/// Takes away what nothing needs. Safe beside running builds.
pub fn prune(_store: &Store, _options: &PruneOptions) -> Result<Pruned, Error> {
    todo!()
}

/// Counts what the store holds.
pub fn usage(_store: &Store) -> Result<Usage, Error> {
    todo!()
}
