//! What the mirror counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters, for `/metrics`.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) hits: Counter,
    pub(super) checks: Counter,
    pub(super) manifests: Counter,
    pub(super) stale: Counter,
    pub(super) fetches: Counter,
    pub(super) under_way: Gauge,
    pub(super) resumed: Counter,
    pub(super) passed: Counter,
    pub(super) bytes: Counter,
    pub(super) failures: Counter,
    pub(super) mismatches: Counter,
    pub(super) expired: Counter,
}

impl Figures {
    pub(super) fn register(&self, registry: &mut Registry) {
        let mut counter = |name, help, counter: &Counter| registry.register(name, help, counter.clone());
        counter("mirror_hits", "Manifests served from what is here, the upstream not asked", &self.hits);
        counter("mirror_tag_checks", "Tags that an upstream was asked about", &self.checks);
        counter("mirror_manifests", "Manifests fetched from upstreams", &self.manifests);
        counter("mirror_stale", "Cached tags served because an upstream did not answer", &self.stale);
        counter("mirror_fetches", "Blobs whose fetch from an upstream was begun", &self.fetches);
        counter("mirror_resumed", "Fetches that went on where an earlier one broke off", &self.resumed);
        counter("mirror_passed", "Blobs passed on and not kept, as there was no room", &self.passed);
        counter("mirror_fetched_bytes", "Bytes of blobs received from upstreams", &self.bytes);
        counter("mirror_failures", "Fetches that failed", &self.failures);
        counter("mirror_mismatches", "Fetches whose bytes were not those of their digest", &self.mismatches);
        counter("mirror_expired_tags", "Cached tags removed because nobody used them", &self.expired);
        registry.register("mirror_fetches_under_way", "Blobs that are being fetched", self.under_way.clone());
    }
}
