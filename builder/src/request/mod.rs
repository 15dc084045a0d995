//! What a build is asked to do, as data: it crosses a memfd as JSON when a miss makes the process start over in its sandbox.

mod attesting;
mod caching;
mod output;
mod running;
mod secret;
mod telling;

use std::path::PathBuf;

use graph::pattern::IgnoreRules;
use graph::{Edge, Graph};
use oci::{ImageConfig, Platform};
use serde::{Deserialize, Serialize};

pub use self::attesting::{Attesting, Invocation, Provenance};
pub use self::caching::{CacheDocument, CacheFrom, CachePlace, CacheTo, Caching, S3Keys, S3Place};
pub use self::output::{Annotation, Compress, CompressForm, Destination, Dress, Exporting, Level, Output, Squash};
pub use self::running::{Allow, Cgroup, Dns, Running};
pub use self::secret::{MAX_SECRET, Secret, SecretError, SecretPlace, SecretSource, Secrets};
pub use self::telling::Telling;

/// One build: what to make, from what, and where it goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The lowered plans of all platforms: what they share is there once.
    pub graph: Graph,
    /// What is made of it, in the order of the platforms that were asked for. Never empty.
    pub images: Vec<Image>,
    /// The build contexts that `Source::Local` vertices name.
    pub contexts: Vec<LocalContext>,
    /// How to build.
    pub options: Options,
    /// Canonical references the image gets in the store.
    pub tags: Vec<String>,
    /// Where the result goes.
    pub outputs: Vec<Output>,
}

/// The image of one platform.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// The platform it is for.
    pub platform: Platform,
    /// The vertex whose result is its file tree.
    pub root: Edge,
    /// Its config; diff ids and creation times of new layers are filled in by the build.
    pub config: ImageConfig,
    /// The vertex of the base image that `root` stands on, if it stands on one that has layers.
    pub base: Option<Edge>,
}

impl Request {
    /// The image of the first platform, which is the only one mostly.
    ///
    /// # Panics
    /// If there is none.
    pub fn image(&self) -> &Image {
        &self.images[0]
    }

    /// The vertices that the images are made of.
    pub fn roots(&self) -> Vec<Edge> {
        self.images.iter().map(|image| image.root).collect()
    }

    /// The platforms other than this machine's whose programs some step runs.
    pub fn foreign_platforms(&self) -> Vec<Platform> {
        let host = Platform::host();
        let mut found: Vec<Platform> = Vec::new();
        for edge in self.graph.reachable(&self.roots()) {
            if let Some(platform) = &self.graph.vertex(edge).meta().platform
                && (&platform.os, &platform.architecture) != (&host.os, &host.architecture)
                && !found.contains(platform)
            {
                found.push(platform.clone());
            }
        }
        found
    }

    /// Whether the result has several images, and so an index over them.
    pub fn is_for_several(&self) -> bool {
        self.images.len() > 1
    }
}

/// A folder of the host that a build may read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LocalContext {
    /// The name vertices use; the main one is `context`.
    pub name: String,
    /// The folder.
    pub dir: PathBuf,
    /// What its ignore file leaves out.
    pub rules: IgnoreRules,
}

/// How to build. Nothing in here is part of a cache key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// How many operations may run side by side; `None` picks a number from the machine.
    pub jobs: Option<usize>,
    /// Seconds since 1970: later times in layers, history and config are set to it (`SOURCE_DATE_EPOCH`).
    pub epoch: Option<i64>,
    /// What RUNs are run with.
    pub running: Running,
    /// Caches besides the store.
    pub caching: Caching,
    /// What is said of the image besides the image.
    pub attesting: Attesting,
    /// How the image is made of what was built.
    pub exporting: Exporting,
    /// What the build tells.
    pub telling: Telling,
}

impl Options {
    /// The latest time that files of new layers may have.
    pub fn clamp(&self) -> Option<i64> {
        self.epoch.filter(|_| !self.exporting.keep_times)
    }
}
