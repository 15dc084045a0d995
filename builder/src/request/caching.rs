//! Caches besides the store: where results come from, and where they go.

use std::path::PathBuf;

use oci::Digest;
use serde::{Deserialize, Serialize};

use crate::Compress;

/// Caches besides the store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Caching {
    /// Where results are looked for, in this order, after the store.
    pub from: Vec<CacheFrom>,
    /// Where results go when the build is done.
    pub to: Vec<CacheTo>,
    /// Results older than so many seconds are not taken.
    pub ttl: Option<u64>,
    /// What was imported already: see [`crate::import_caches`].
    pub imported: Vec<CacheDocument>,
    /// Keys for buckets that stand in no environment; in the order of `from`, then of `to`. They are no part of the request
    /// as it is written down.
    #[serde(skip)]
    pub keys: Vec<Option<S3Keys>>,
}

/// What one cache said: its manifest and its configuration, compared with the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheDocument {
    /// Its place in [`Caching::from`].
    pub from: usize,
    /// Its place, for people.
    pub place: String,
    /// The exact bytes.
    pub manifest: String,
    /// The exact bytes.
    pub config: String,
}

/// What a bucket is asked with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Keys {
    /// Names the key.
    pub id: String,
    /// The key.
    pub secret: String,
    /// Goes with a key that ends.
    pub token: Option<String>,
}

impl std::fmt::Debug for S3Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("S3Keys(…)")
    }
}

/// A cache that is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheFrom {
    /// Where it is.
    pub place: CachePlace,
    /// Whether RUN cache mounts come from there.
    pub mounts: bool,
}

/// A cache that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheTo {
    /// Where it is.
    pub place: CachePlace,
    /// All results, and not only those that the image consists of.
    pub max: bool,
    /// How layers are stored there.
    pub compression: Compress,
    /// A failure is a warning.
    pub ignore_error: bool,
    /// Whether RUN cache mounts go there.
    pub mounts: bool,
}

/// Where a cache is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum CachePlace {
    /// In the image that is built; only written.
    Inline,
    /// A repository of a registry; also an image with an inline cache.
    Registry {
        /// A canonical reference.
        reference: String,
    },
    /// A folder.
    Local {
        /// Which.
        dir: PathBuf,
        /// The cache's name in it.
        tag: Option<String>,
        /// The manifest, where the user names it.
        digest: Option<Digest>,
    },
    /// A bucket.
    S3(S3Place),
}

/// A bucket of S3, or of something that speaks as it does. Keys come from the environment, or beside the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct S3Place {
    /// Its name.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Another host than Amazon's, as a URL.
    pub endpoint: Option<String>,
    /// The bucket stands in the path, and not in the host's name.
    pub path_style: bool,
    /// Before the names of blobs and manifests.
    pub prefix: String,
    /// Before the names of blobs, after `prefix`.
    pub blobs: String,
    /// Before the names of manifests, after `prefix`.
    pub manifests: String,
    /// The cache's name.
    pub name: String,
}
