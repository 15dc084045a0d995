//! Turns a graph into an image: solver, cache, operations, exporters and local garbage collection.
//!
//! [`cached`] is the path of a build that changes nothing: it stats, looks up, and answers. On a miss, [`run`] does the rest.

mod cancel;
mod error;
pub mod gc;
mod progress;
mod request;

use std::sync::mpsc::Sender;

use oci::{Descriptor, Digest};
use runtime::spawner::Spawner;
use serde::{Deserialize, Serialize};
use store::Store;

pub use cancel::{Cancel, CancelGuard};
pub use error::Error;
pub use progress::{Event, Stream, VertexId, VertexInfo};
pub use request::{Compress, CompressForm, Destination, LocalContext, Options, Output, Request};

/// A finished build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Built {
    /// The image's manifest in the store; `None` where no output made one.
    pub manifest: Option<Descriptor>,
    /// The image's config, which is the image id.
    pub config_digest: Option<Digest>,
    /// The references that name it now.
    pub tags: Vec<String>,
    /// How many vertices were found in the cache, of how many that were looked at.
    pub cached: (u32, u32),
}

/// What the fast path found.
#[derive(Clone, Debug)]
pub enum Cached {
    /// Nothing is left to do.
    Hit(Built),
    /// Something must run.
    Miss {
        /// Whether it takes namespaces: a RUN, or reading a tree that was made in them. Where it does not,
        /// [`run`] may be called as is, without a spawner.
        needs_sandbox: bool,
    },
}

/// The fast path: stats, looks up, and answers. It probes nothing, starts no thread, and writes nothing beside the stat cache.
pub fn cached(_request: &Request, _store: &Store) -> Result<Cached, Error> {
    todo!()
}

/// Builds. Owns its threads; `events` gets what happens as it does; `cancel` stops it with [`Error::Cancelled`].
///
/// `spawner` runs containers; without one, a build that needs one fails.
pub fn run(_request: Request, _store: &Store, _spawner: Option<Spawner>, _events: Sender<Event>, _cancel: &Cancel) -> Result<Built, Error> {
    todo!()
}
