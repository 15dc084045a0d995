//! Hot manifests in memory: what most pulls ask for, answered without leaving the reactor.
//!
//! An entry is believed while its repository's [`Metadata::generation`](crate::metadata::Metadata::generation) is the one
//! it was read at, so that no write has to know about the cache. The generation is read before the row, never after.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use http::HeaderMap;
use oci::{Digest, RepositoryName};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::route::Reference;
use crate::time::Instant;

/// What all entries may take together: a few thousand manifests of usual size.
const CAPACITY: u64 = 16 << 20;
/// Larger manifests are read from the disk each time: one would push hundreds of others out.
const LARGEST: usize = 256 << 10;
/// What an entry costs besides its bytes.
const OVERHEAD: u64 = 1024;

/// A manifest that can be answered at once.
#[derive(Debug)]
pub(crate) struct Held {
    /// The generation that it was read at.
    pub(crate) generation: u64,
    /// What it hashes to.
    pub(crate) digest: Digest,
    /// Its exact bytes.
    pub(crate) bytes: Bytes,
    /// Its content type, digest and entity tag.
    pub(crate) headers: HeaderMap,
    /// When its lease was last renewed.
    leased: AtomicI64,
}

impl Held {
    pub(crate) fn new(generation: u64, digest: Digest, bytes: Bytes, headers: HeaderMap, leased: Instant) -> Self {
        Self { generation, digest, bytes, headers, leased: AtomicI64::new(leased.0) }
    }

    /// Whether the lease is older than `age` allows. Tells one caller only, who then renews it.
    pub(crate) fn must_renew(&self, now: Instant, before: Instant) -> bool {
        let leased = self.leased.load(Ordering::Relaxed);
        leased < before.0 && self.leased.compare_exchange(leased, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    repository: RepositoryName,
    reference: Reference,
}

/// A key that is only looked at. Hashes as [`Key`] does: field by field.
struct Wanted<'a> {
    repository: &'a RepositoryName,
    reference: &'a Reference,
}

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.repository.hash(state);
        self.reference.hash(state);
    }
}

impl Equivalent<Key> for Wanted<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.repository == key.repository && *self.reference == key.reference
    }
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<Key, Arc<Held>> for Weight {
    fn weight(&self, _: &Key, held: &Arc<Held>) -> u64 {
        OVERHEAD + held.bytes.len() as u64
    }
}

/// The manifests that were asked for lately.
#[derive(Debug)]
pub(crate) struct Manifests(Cache<Key, Arc<Held>, Weight>);

impl Manifests {
    /// An empty cache.
    pub(crate) fn new() -> Self {
        let items = usize::try_from(CAPACITY / (OVERHEAD * 4)).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(items, CAPACITY, Weight))
    }

    /// An entry that is still true at `generation`.
    pub(crate) fn get(&self, repository: &RepositoryName, reference: &Reference, generation: u64) -> Option<Arc<Held>> {
        self.0.get(&Wanted { repository, reference }).filter(|held| held.generation == generation)
    }

    /// Remembers an entry, unless it is large.
    pub(crate) fn put(&self, repository: &RepositoryName, reference: &Reference, held: Arc<Held>) {
        if held.bytes.len() <= LARGEST {
            self.0.insert(Key { repository: repository.clone(), reference: reference.clone() }, held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believes_an_entry_of_its_generation_only() {
        let cache = Manifests::new();
        let (repository, tag) = ("a/b".parse().unwrap(), Reference::Tag("x".parse().unwrap()));
        let digest = Digest::sha256(b"m");
        let held = |bytes| Arc::new(Held::new(1, digest, bytes, HeaderMap::new(), Instant(0)));
        cache.put(&repository, &tag, held(Bytes::from_static(b"m")));
        assert!(cache.get(&repository, &tag, 1).is_some());
        assert!(cache.get(&repository, &tag, 2).is_none());
        assert!(cache.get(&repository, &Reference::Digest(digest), 1).is_none());
        let large = Reference::Digest(digest);
        cache.put(&repository, &large, held(Bytes::from(vec![0; LARGEST + 1])));
        assert!(cache.get(&repository, &large, 1).is_none());
    }

    #[test]
    fn one_caller_renews_a_lease() {
        let held = Held::new(1, Digest::sha256(b""), Bytes::new(), HeaderMap::new(), Instant(100));
        assert!(!held.must_renew(Instant(200), Instant(100)));
        assert!(held.must_renew(Instant(200), Instant(150)));
        assert!(!held.must_renew(Instant(200), Instant(150)));
    }
}
