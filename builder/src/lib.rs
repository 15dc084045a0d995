//! Turns a graph into an image: solver, cache, operations, exporters and local garbage collection.
//!
//! [`cached`] is the path of a build that changes nothing: it stats, looks up, and answers. On a miss, [`run`] does the rest.

pub mod attest;
mod build;
mod cache;
mod cancel;
pub mod context;
mod durable;
mod error;
pub mod export;
pub mod failed;
mod fast;
mod foreign;
pub mod gc;
pub mod import;
mod layers;
mod mount;
mod op;
mod progress;
mod request;
mod solver;
pub mod sources;
pub mod ssh;
mod steps;
pub mod transfer;
mod trees;
pub mod verify;
mod whole;

use std::sync::mpsc::Sender;

use oci::{Descriptor, Digest, Platform};
use runtime::emulation::Emulation;
use runtime::ladder::Probe;
use runtime::spawner::Spawner;
use serde::{Deserialize, Serialize};
use store::Store;

pub use cancel::{Cancel, CancelGuard};
pub use error::Error;
pub use progress::{Event, Kind, Stream, VertexId, VertexInfo};
pub use request::{Allow, Cgroup, Dns, MAX_SECRET, Secret, SecretError, SecretPlace, SecretSource, Secrets};
pub use request::{
    Annotation, Attesting, Caching, Compress, CompressForm, Destination, Dress, Exporting, Image, Invocation, Level,
    LocalContext, Options, Output, Provenance, Request, Running, Squash, Telling,
};
pub use request::{CacheDocument, CacheFrom, CachePlace, CacheTo, S3Keys, S3Place};
pub use trees::image_trees;

/// A finished build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Built {
    /// The image of each platform, in the request's order; none where no output made one.
    pub images: Vec<BuiltImage>,
    /// The index over them, where there is one: it is what the names name.
    pub index: Option<Descriptor>,
    /// The references that name it now.
    pub tags: Vec<String>,
    /// How many vertices were found in the cache, of how many that were looked at.
    pub cached: (u32, u32),
    /// Layers of bases that were pulled: to be handed to [`transfer::pull::sync`] when there is time.
    #[serde(default)]
    pub fresh: Vec<store::LayerId>,
}

/// The image of one platform, in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltImage {
    /// The platform it is for.
    pub platform: Platform,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its config.
    pub config_digest: Digest,
}

impl Built {
    /// What the names name: the index, or the one image's manifest; `None` where no output made one.
    pub fn manifest(&self) -> Option<&Descriptor> {
        self.index.as_ref().or(self.images.first().map(|image| &image.manifest))
    }

    /// The image's id: the digest of its config, or of the index where there are several.
    pub fn id(&self) -> Option<Digest> {
        match (&self.images[..], &self.index) {
            ([image], _) => Some(image.config_digest),
            (_, index) => index.as_ref().map(|index| index.digest),
        }
    }
}

/// What RUNs are run with: the rung that this process has entered, and its spawner.
#[derive(Debug)]
pub struct Sandbox {
    /// What the probe found; its rung was entered.
    pub probe: Probe,
    /// Starts containers.
    pub spawner: Spawner,
    /// What runs programs of other processors.
    pub emulation: Emulation,
}

/// What the fast path found.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a process")]
pub enum Cached {
    /// Nothing is left to do.
    Hit(Built),
    /// Something must run.
    Miss {
        /// Whether it takes namespaces: a RUN, or reading a tree that was made in them. Where it does not,
        /// [`run`] may be called as is, without a sandbox.
        needs_sandbox: bool,
        /// Whether the result of every image is there: what is left is to write it somewhere. Other caches need not be asked.
        found: bool,
    },
}

/// The fast path: stats, looks up, and answers. It probes nothing, starts no thread unless files must be read, and writes
/// nothing beside the stat cache.
///
/// # Errors
/// When a context cannot be read, or the store fails.
pub fn cached(request: &Request, store: &Store) -> Result<Cached, Error> {
    fast::cached(request, store)
}

/// Reads the caches that a request names, side by side, and no layer of them: the result goes into `caching.imported`, and
/// then [`cached`] finds what they have. Also gives a line for each cache that cannot be used. Starts threads.
///
/// # Errors
/// When there can be no threads; a cache that cannot be read is no error.
pub fn import_caches(
    request: &Request,
    client: Option<&remote::Client>,
) -> std::io::Result<(Vec<CacheDocument>, Vec<String>)> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("cache").enable_all().build()?;
    let imported = cache::import::import(request, client, runtime.handle());
    // What resolves a name may not hold the end up.
    runtime.shutdown_background();
    Ok(imported)
}

/// Builds. Owns its threads; `events` gets what happens as it does; `cancel` stops it with [`Error::Cancelled`].
///
/// Without a `sandbox`, a build that needs one fails; without a `client`, one that needs a layer that is not in the store.
///
/// # Errors
/// [`Error::Vertex`] for the step that failed first; what others finished is kept.
pub fn run(
    request: Request,
    store: &Store,
    sandbox: Option<Sandbox>,
    client: Option<remote::Client>,
    events: Sender<Event>,
    cancel: &Cancel,
) -> Result<Built, Error> {
    run_in(&request, store, sandbox.as_ref(), client.as_ref(), events, cancel)
}

/// As [`run`], in a sandbox that outlives the build.
///
/// # Errors
/// As [`run`].
pub fn run_in(
    request: &Request,
    store: &Store,
    sandbox: Option<&Sandbox>,
    client: Option<&remote::Client>,
    events: Sender<Event>,
    cancel: &Cancel,
) -> Result<Built, Error> {
    whole::run(request, store, sandbox, client, events, cancel)
}
