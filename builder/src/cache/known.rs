//! The caches of a build that were imported, and what is known to be wrong with them.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use oci::{Descriptor, DiffId, Digest};
use store::{Elsewhere, LayerId, Origin, Record, Store, Variant};

use super::backend::Backend;
use super::key::Chain;
use super::portable::{self, Cache, CachedLayer};
use crate::Request;
use crate::request::{CacheDocument, CachePlace};

/// Keys of one result that are carried over from one cache to another: of its content, and of its latest definitions.
const MOST_BESIDE: usize = 4;

/// One of them.
struct Known {
    /// Where it came from, and its manifest's digest: what is remembered with each record that is taken from it.
    writer: String,
    /// The repository that has its layers.
    origin: Option<Origin>,
    /// The place that has them, where it is no repository.
    backend: Option<Arc<dyn Backend>>,
    cache: Cache,
}

/// The imported caches of a build, in the order in which they are asked.
#[derive(Default)]
pub(crate) struct Caches {
    list: Vec<Known>,
    /// Layers that could not be had, or were something else.
    distrusted: Mutex<HashSet<DiffId>>,
}

/// A result that a cache has.
pub(crate) struct Found<'c> {
    known: &'c Known,
    layers: Vec<Option<&'c CachedLayer>>,
    created: i64,
}

impl Found<'_> {
    /// When it was made, in seconds since 1970.
    pub(crate) fn created(&self) -> i64 {
        self.created
    }
}

impl Caches {
    /// Reads what was imported. A document that cannot be read counts as none: whoever imported it said so.
    pub(crate) fn of(request: &Request) -> Self {
        let read = |document: &CacheDocument| {
            let cache = Cache::read(document.manifest.as_bytes(), document.config.as_bytes()).ok()?;
            let (origin, backend) = match &request.options.caching.from.get(document.from)?.place {
                CachePlace::Registry { reference } => (origin(reference), None),
                place => (None, super::backend::without_registry(place, &request.options.caching).ok()),
            };
            let writer = format!("{}@{}", document.place, Digest::sha256(document.manifest.as_bytes()));
            Some(Known { writer, origin, backend, cache })
        };
        Self { list: request.options.caching.imported.iter().filter_map(read).collect(), distrusted: Mutex::default() }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one of them is no registry: images name no layers of such.
    pub(crate) fn have_backends(&self) -> bool {
        self.list.iter().any(|known| known.backend.is_some())
    }

    /// The first result under a key all of whose layers may still be believed in.
    pub(crate) fn find(&self, key: &Digest) -> Option<Found<'_>> {
        let distrusted = self.distrusted.lock().unwrap_or_else(PoisonError::into_inner);
        self.list.iter().find_map(|known| {
            let (layers, created) = known.cache.find(key)?;
            let doubtful = layers.iter().flatten().any(|layer| distrusted.contains(&layer.diff_id));
            (!doubtful).then_some(Found { known, layers, created })
        })
    }

    /// Gives a result's layers names in the store, and keeps the result under the key, with who wrote it.
    pub(crate) fn adopt(
        &self,
        store: &Store,
        found: &Found<'_>,
        (key, preimage): (&Digest, &str),
        (boot, epoch, now): (&str, Option<i64>, i64),
    ) -> store::Result<Chain> {
        let layers: Vec<Elsewhere> = found.layers.iter().flatten().map(|layer| elsewhere(layer)).collect();
        let index = store.index();
        let ids = index.put_elsewhere(&layers, found.known.origin.as_ref(), boot, epoch, now)?;
        let mut ids = ids.into_iter();
        let named = |layer: &Option<&CachedLayer>| match layer {
            Some(_) => ids.next().unwrap_or_else(Chain::empty_layer),
            None => Chain::empty_layer(),
        };
        let chain: Vec<LayerId> = found.layers.iter().map(named).collect();
        let record = Record {
            layers: chain.clone(),
            created: found.created,
            preimage: preimage.to_owned(),
            vertex_name: String::new(),
        };
        index.put_foreign_record(key, &record, &found.known.writer)?;
        Ok(Chain(chain))
    }

    /// The cache that has a layer and is no registry.
    pub(crate) fn backend(&self, diff_id: &DiffId) -> Option<(Arc<dyn Backend>, Descriptor)> {
        self.list.iter().find_map(|known| {
            let backend = known.backend.as_ref()?;
            Some((Arc::clone(backend), known.cache.layer(diff_id)?.blob.clone()))
        })
    }

    /// Believes nothing any more that has this layer.
    pub(crate) fn distrust(&self, layer: DiffId) {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).insert(layer);
    }

    /// Whether a layer could not be had, or was something else.
    pub(crate) fn is_distrusted(&self, layer: &DiffId) -> bool {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).contains(layer)
    }

    /// Results that have the layers of one of these, by their numbers: an export of those keeps their keys, too, which this
    /// build did not ask for. Of each the newest few: definitions that nobody has any more must not stay for ever.
    pub(crate) fn beside(
        &self,
        results: &HashSet<Vec<Option<u32>>>,
        number: impl Fn(&DiffId) -> Option<u32>,
    ) -> Vec<portable::Record> {
        let distrusted = self.distrusted.lock().unwrap_or_else(PoisonError::into_inner);
        let believed = |layer: &CachedLayer| !distrusted.contains(&layer.diff_id);
        let numbered = |layer: Option<&CachedLayer>| match layer {
            Some(layer) => number(&layer.diff_id).filter(|_| believed(layer)).map(Some),
            None => Some(None),
        };
        let mut kept = Vec::new();
        for known in &self.list {
            for key in known.cache.keys() {
                let Some((layers, created)) = known.cache.find(key) else { continue };
                let Some(layers) = layers.into_iter().map(numbered).collect::<Option<Vec<_>>>() else { continue };
                if layers.iter().any(Option::is_some) && results.contains(&layers) {
                    kept.push(portable::Record { key: *key, layers, created });
                }
            }
        }
        kept.sort_by_cached_key(|one| (one.layers.clone(), Reverse(one.created), one.key.to_string()));
        kept.dedup_by_key(|one| one.key);
        kept.chunk_by(|a, b| a.layers == b.layers).flat_map(|same| same.iter().take(MOST_BESIDE)).cloned().collect()
    }
}

fn origin(reference: &str) -> Option<Origin> {
    let reference: oci::Reference = reference.parse().ok()?;
    Some(Origin { registry: reference.registry().to_owned(), repository: reference.repository().as_str().to_owned() })
}

fn elsewhere(layer: &CachedLayer) -> Elsewhere {
    let blob = &layer.blob;
    Elsewhere {
        diff_id: layer.diff_id,
        size: layer.facts.size,
        created: layer.facts.created,
        epoch: layer.facts.epoch,
        variant: Variant { media_type: blob.media_type.clone(), blob: blob.digest, size: blob.size },
    }
}
