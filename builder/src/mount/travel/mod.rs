//! Cache mounts that travel: out with a cache, in where a RUN wants one that is not here, and only what changed.
//!
//! The first instance of a mount goes out as an [`index`] and packs, under a manifest of its own beside the cache's ([`manifest`]).
//! What the files looked like then is remembered beside the instance ([`state`]): the next export reads and sends those that
//! changed since. Packs that are mostly dead are made anew ([`plan`]). An import links what is here already, and fetches
//! the packs of what is not.
//!
//! What does not travel: devices, pipes, sockets, extended attributes, and the further instances of `sharing=private`.

mod export;
mod import;
mod index;
mod manifest;
mod pack;
mod plan;
mod scan;
mod state;
#[cfg(test)]
mod tests;
mod text;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::Store;
use sys::lock::Lock;

use crate::cache::backend::{Backend, BackendError};

/// How packs and indexes are compressed: zstd's own default is where time and size meet.
const LEVEL: i32 = 3;

/// Why a mount did not travel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TravelError {
    /// The place.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// What came is not what it says, or cannot be.
    #[error("damaged cache mount: {0}")]
    Index(String),
    /// A mount that no index can hold.
    #[error("the cache mount has too many files to travel")]
    Large,
    /// A pack.
    #[error("zstd: {source}")]
    Compress {
        /// Why.
        source: std::io::Error,
    },
    /// A kernel call.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// The store's limit.
    #[error(transparent)]
    Room(#[from] store::RoomError),
    /// What was half made could not be removed.
    #[error(transparent)]
    Layer(#[from] crate::layers::LayerError),
    /// A file or directory.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What a journey took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Bytes that went over the wire.
    pub(crate) bytes: u64,
    /// Bytes of files that were read to find out.
    pub(crate) read: u64,
    /// Paths of the mount.
    pub(crate) files: u64,
    /// Paths that do not travel.
    pub(crate) left_out: u64,
}

/// What an export did.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// What it took.
    pub(crate) moved: Moved,
    /// The mounts that are there now.
    pub(crate) ids: Vec<String>,
    /// Those that have too many files to travel.
    pub(crate) too_large: Vec<String>,
}

/// Sends cache mounts, by their ids, to a place: of each what changed since the place has it. A mount that is not here, or
/// that a RUN holds for itself, is passed over. Blocks; not to be called on the reactor.
///
/// # Errors
/// When the place or the disk fails; a mount is seen there whole or as it was before.
pub(crate) fn export(store: &Store, ids: &[String], to: &dyn Backend) -> Result<Sent, TravelError> {
    let mut sent = Sent::default();
    for id in ids {
        let instance = store.layout().cache_mount(id).join("0");
        let lock = instance.with_extension("lock");
        let Ok(file) = OpenOptions::new().write(true).open(&lock) else { continue };
        let Ok(_held) = Lock::try_shared(file)? else { continue };
        if !instance.is_dir() {
            continue;
        }
        let moved = match export::send(&instance, id, to) {
            Err(TravelError::Large) => {
                sent.too_large.push(id.clone());
                continue;
            }
            other => other?,
        };
        sent.ids.push(id.clone());
        let sum = &mut sent.moved;
        sum.bytes += moved.bytes;
        sum.read += moved.read;
        sum.files += moved.files;
        sum.left_out += moved.left_out;
    }
    Ok(sent)
}

/// Brings a cache mount from the first of some places that has one younger than what is here; `instance` is the folder of its
/// first instance, which nobody uses. With `owners`, files get theirs. A place that fails, or whose mount is damaged, is told
/// to `failed`, and the next one is asked; what was here stays then.
pub(crate) fn import(
    store: &Store,
    id: &str,
    instance: &Path,
    owners: bool,
    from: &[Arc<dyn Backend>],
    failed: &mut dyn FnMut(&dyn Backend, TravelError),
) -> Option<Moved> {
    let target = import::Target { id, instance, room: store.room(), owners };
    from.iter().find_map(|place| match import::bring(&target, place.as_ref()) {
        Ok(moved) => moved,
        Err(error) => {
            failed(place.as_ref(), error);
            None
        }
    })
}
