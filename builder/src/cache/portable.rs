//! A cache as a document: what every store understands.
//!
//! An OCI image manifest whose layers are the ordinary compressed layers of the results, and whose configuration is that of
//! an image with these layers. One field of it, `com.estiba.cache.v1`, says the rest: a size and a time of each layer, and for
//! each key the layers of its result by their numbers. So any registry keeps and collects it, one manifest and one
//! configuration are all that a look-up takes, and the same field in an ordinary image makes that a cache (`type=inline`).
//!
//! Nothing in here is believed further than that a key has a result of certain DiffIds; the layers themselves are compared
//! with their digest, size and DiffId before anything reads them. Pure.

use std::collections::HashMap;

use oci::{Descriptor, DiffId, Digest, ImageConfig, Manifest, Platform, Raw, media_type};
use serde::{Deserialize, Serialize};

/// What a cache's manifest says it is.
pub(crate) const ARTIFACT_TYPE: &str = "application/vnd.estiba.cache.v1+json";
/// The field of the configuration.
pub(crate) const FIELD: &str = "com.estiba.cache.v1";
/// The field of images that BuildKit's inline cache is in.
const BUILDKIT_FIELD: &str = "moby.buildkit.cache.v0";
/// The configuration of BuildKit's registry caches.
const BUILDKIT_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// A configuration is kept in memory: a thousand steps of hundreds of layers are less than this.
pub(crate) const MAX_CONFIG: u64 = 8 << 20;
/// Layers of one result, as many as overlay and any runtime take several times over.
const MAX_CHAIN: usize = 4096;
/// Entries of all results together: a document of [`MAX_CONFIG`] bytes cannot honestly have more.
const MAX_ENTRIES: usize = 4 << 20;
/// No layer is larger: a pebibyte.
const MAX_SIZE: u64 = 1 << 50;
/// The last second of the year 9999: later times have no text form.
const MAX_TIME: i64 = 253_402_300_799;

/// Why a document is no cache.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortableError {
    /// BuildKit's own format.
    #[error("it is BuildKit's own cache, a format of its own; write one for estiba with `--cache-to`")]
    BuildKit,
    /// An image, or something else, without a cache in it.
    #[error("it holds no cache of estiba (an image has one if it was built with `--cache-to type=inline`)")]
    NoCache,
    /// Not JSON of its shape.
    #[error("its {what} cannot be read: {source}")]
    Document {
        /// `manifest` or `configuration`.
        what: &'static str,
        /// Why.
        source: oci::RawError,
    },
    /// The field is not of its shape.
    #[error("its records cannot be read: {0}")]
    Field(serde_json::Error),
    /// A later version wrote it.
    #[error("it is of version {0}, this program reads version 1")]
    Version(u32),
    /// It contradicts itself.
    #[error("it contradicts itself: {0}")]
    Lies(String),
}

/// The field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Field {
    version: u32,
    /// Of the manifest's layers, in its order.
    layers: Vec<Facts>,
    records: Vec<Record>,
}

/// What a manifest does not say of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Of its tar, in bytes.
    pub(crate) size: u64,
    /// When its step ran, in seconds since 1970.
    pub(crate) created: i64,
    /// No time in it is later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<i64>,
}

/// A result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// What it is found under.
    pub(crate) key: Digest,
    /// Its layers, base first; `null` for a step that changed nothing.
    pub(crate) layers: Vec<Option<u32>>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: i64,
}

/// A layer of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CachedLayer {
    /// What it is.
    pub(crate) diff_id: DiffId,
    /// The blob that the cache has.
    pub(crate) blob: Descriptor,
    /// What else is known.
    pub(crate) facts: Facts,
}

/// A cache that was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cache {
    layers: Vec<CachedLayer>,
    records: HashMap<Digest, Record>,
}

impl Field {
    /// A field for these layers and results, which are brought into order.
    pub(crate) fn new(layers: Vec<Facts>, mut records: Vec<Record>) -> Self {
        records.sort_by_key(|record| record.key.to_string());
        records.dedup_by_key(|record| record.key);
        Self { version: 1, layers, records }
    }

    /// As it stands in a configuration.
    pub(crate) fn to_value(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::to_value(self)
    }
}

/// A cache's own configuration: that of an image with these layers.
pub(crate) fn config(
    platform: &Platform,
    diff_ids: Vec<DiffId>,
    field: &Field,
) -> Result<ImageConfig, serde_json::Error> {
    let mut config = ImageConfig::empty(platform);
    config.rootfs.diff_ids = diff_ids;
    config.extra.insert(FIELD.to_owned(), field.to_value()?);
    Ok(config)
}

/// A cache's own manifest.
pub(crate) fn manifest(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
    let mut manifest = Manifest::new(config, layers);
    manifest.artifact_type = Some(ARTIFACT_TYPE.to_owned());
    manifest
}

/// Whether a manifest or an index is of BuildKit's own format: then its configuration need not be fetched.
pub(crate) fn is_buildkit(document: &[u8]) -> bool {
    let text = String::from_utf8_lossy(document);
    text.contains(BUILDKIT_CONFIG)
}

impl Cache {
    /// Reads a manifest and its configuration, whose digest was compared.
    pub(crate) fn read(manifest: &[u8], config: &[u8]) -> Result<Self, PortableError> {
        let document = |what| move |source| PortableError::Document { what, source };
        let manifest = Raw::<Manifest>::parse(manifest.to_vec()).map_err(document("manifest"))?.into_value();
        if manifest.config.media_type == BUILDKIT_CONFIG {
            return Err(PortableError::BuildKit);
        }
        let mut config = Raw::<ImageConfig>::parse(config.to_vec()).map_err(document("configuration"))?.into_value();
        let Some(field) = config.extra.remove(FIELD) else {
            let theirs = config.extra.contains_key(BUILDKIT_FIELD);
            return Err(if theirs { PortableError::BuildKit } else { PortableError::NoCache });
        };
        let field: Field = serde_json::from_value(field).map_err(PortableError::Field)?;
        if field.version != 1 {
            return Err(PortableError::Version(field.version));
        }
        Self::checked(&manifest, config.rootfs.diff_ids, field)
    }

    fn checked(manifest: &Manifest, diff_ids: Vec<DiffId>, field: Field) -> Result<Self, PortableError> {
        let (there, named, told) = (manifest.layers.len(), diff_ids.len(), field.layers.len());
        let lies = |problem: String| Err(PortableError::Lies(problem));
        if there != named || there != told {
            return lies(format!("its manifest lists {there} layers, its configuration {named}, its records {told}"));
        }
        let mut layers = Vec::with_capacity(there);
        for ((blob, diff_id), facts) in manifest.layers.iter().zip(diff_ids).zip(field.layers) {
            let times = [Some(facts.created), facts.epoch];
            if blob.size > MAX_SIZE || facts.size > MAX_SIZE || times.into_iter().flatten().any(is_no_time) {
                return lies(format!("layer {} has an impossible size or time", blob.digest));
            }
            if !media_type::is_layer(&blob.media_type) {
                return lies(format!("layer {} is {:?}, which is no layer", blob.digest, blob.media_type));
            }
            layers.push(CachedLayer { diff_id, blob: blob.clone(), facts });
        }
        let mut entries = 0;
        let mut records = HashMap::with_capacity(field.records.len());
        for record in field.records {
            entries += record.layers.len();
            if record.layers.len() > MAX_CHAIN || entries > MAX_ENTRIES || is_no_time(record.created) {
                return lies(format!("the result under {} has too many layers, or an impossible time", record.key));
            }
            let outside = |number: &&u32| usize::try_from(**number).map_or(true, |number| number >= there);
            if let Some(number) = record.layers.iter().flatten().find(outside) {
                return lies(format!("the result under {} has layer {number} of {there}", record.key));
            }
            records.insert(record.key, record);
        }
        Ok(Self { layers, records })
    }

    /// The result under a key: its layers, base first, and when it was made.
    pub(crate) fn find(&self, key: &Digest) -> Option<(Vec<Option<&CachedLayer>>, i64)> {
        let record = self.records.get(key)?;
        let layer = |number: &Option<u32>| number.and_then(|number| self.layers.get(usize::try_from(number).ok()?));
        Some((record.layers.iter().map(layer).collect(), record.created))
    }

    /// All its keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Digest> {
        self.records.keys()
    }

    /// The layer with a DiffId.
    pub(crate) fn layer(&self, diff_id: &DiffId) -> Option<&CachedLayer> {
        self.layers.iter().find(|layer| layer.diff_id == *diff_id)
    }
}

fn is_no_time(time: i64) -> bool {
    !(0..=MAX_TIME).contains(&time)
}

#[cfg(test)]
#[path = "portable_tests.rs"]
mod tests;
