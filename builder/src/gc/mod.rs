//! Local garbage collection: marks over the store's edges, then sweeps.
//!
//! Roots are the images' names, the cache's records, and what live processes pinned. An image names a manifest, a manifest its
//! config and layers; a layer is its row, its tree, its record of headers or its split, and its blob. What is younger than the oldest
//! live lease is spared: a running build may have made it and named it nowhere yet. Rows go before files, so that a
//! collection that dies leaves files that the next one finds, and never a name for nothing.

mod candidates;
mod compressed;
mod elsewhere;
mod lru;
mod mark;
mod mounts;
mod sweep;
mod usage;
pub(crate) mod used;
mod watch;

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use store::Store;

use crate::Error;
pub use watch::{Watch, watch};

/// What `prune` may take away.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PruneOptions {
    /// Also cache records that are still good, and cache mounts.
    pub all: bool,
    /// Only what was not used for this long.
    pub until: Option<Duration>,
    /// Give up what was used longest ago until the store is this small, in bytes.
    pub keep_storage: Option<u64>,
    /// The same until the file system has so many bytes free.
    #[serde(default)]
    pub min_free: Option<u64>,
    /// But keep so many bytes in any case.
    #[serde(default)]
    pub reserved: Option<u64>,
    /// Only these kinds of what is still good ([`kinds`]); none: all.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Only cache mounts of these ids; none: all.
    #[serde(default)]
    pub mounts: Vec<String>,
    /// Names of images that go first; what only they need goes with them.
    pub forget: Vec<String>,
    /// Images without a name go first, too.
    #[serde(default)]
    pub unnamed: bool,
    /// Only count what would go, and take nothing away.
    pub dry_run: bool,
}

impl PruneOptions {
    /// Whether a size is wanted, and not everything to go.
    fn is_sized(&self) -> bool {
        self.keep_storage.is_some() || self.min_free.is_some() || self.reserved.is_some()
    }
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
    /// One line each; their sizes add up to what `du` says of the store.
    pub rows: Vec<UsageRow>,
    /// What the rows consist of.
    #[serde(default)]
    pub items: Vec<UsageItem>,
    /// The hard limit, where there is one.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// A line of `df`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// "Images", "Build cache", "Cache mounts", "Logs", and others that are there.
    pub kind: String,
    /// How many.
    pub total: u64,
    /// How many are in use.
    pub active: u64,
    /// Bytes on disk. What images share with the build cache counts as theirs.
    pub size: u64,
    /// Bytes that `prune` (`prune --all` for caches) would free.
    pub reclaimable: u64,
}

/// A thing that takes space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageItem {
    /// The kind of its row.
    pub kind: String,
    /// A name, an id, a path.
    pub name: String,
    /// Bytes on disk of all that it consists of.
    pub size: u64,
    /// Of these, bytes that others consist of, too.
    pub shared: u64,
    /// When it was last used, in seconds since 1970.
    pub used: Option<i64>,
    /// Whether a process uses it now.
    pub in_use: bool,
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

/// The words of `--filter type=`.
pub fn kinds() -> &'static [&'static str] {
    &candidates::KINDS
}

/// A [`store::Collector`]: gives up what was used longest ago until the store at `root` is no larger than `target`; images
/// without a name when nothing else is left.
///
/// # Errors
/// In words, when the store fails.
pub fn make_room(root: &Path, target: u64) -> Result<(), String> {
    let collect = |unnamed| -> Result<u64, GcError> {
        let store = Store::open_existing(root)?;
        let options = PruneOptions { keep_storage: Some(target), unnamed, ..PruneOptions::default() };
        sweep::prune(&store, &options)?;
        Ok(store.room().measure())
    };
    let size = collect(false).map_err(|error| error.to_string())?;
    if size > target {
        collect(true).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
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
