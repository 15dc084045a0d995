//! What a collection took.

use serde::{Deserialize, Serialize};

use crate::metadata::Collected;

/// What a collection took, or would take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Manifests.
    pub manifests: u64,
    /// Blobs in repositories; their bytes go when no repository holds them.
    pub links: u64,
    /// Objects: blobs and manifests that no repository holds.
    pub blobs: u64,
    /// Bytes of those objects.
    pub bytes: u64,
    /// Abandoned uploads.
    pub uploads: u64,
    /// Files without a row.
    pub litter: u64,
    /// Objects whose rows are gone and whose bytes could not be removed: litter from now on.
    pub failed: u64,
    /// Whether the storage holds more than its cap after all, or leaves less than its reserve.
    pub over_cap: bool,
}

impl Report {
    pub(super) fn add(&mut self, step: &Collected) {
        let count = |length: usize| length as u64;
        self.manifests += count(step.manifests.len());
        self.links += count(step.links.len());
        self.blobs += count(step.objects.len());
        self.bytes += step.objects.iter().map(|object| object.size).sum::<u64>();
    }
}
