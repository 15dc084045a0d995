//! Figures for Prometheus. Label sets are bounded by tables of the program; no name that a client gives is among them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::process::{Process, Runtime};
use super::requests::Requests;
use crate::route::Row;

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All figures. Each is ready to be counted up: a handle, no look-up.
pub struct Metrics {
    registry: Registry,
    requests: Arc<Requests>,
    /// Connections that are open.
    pub connections: Gauge,
    /// Requests that are being answered.
    pub in_flight: Gauge,
    /// Bytes of bodies received.
    pub received: Counter,
    /// Bytes of bodies promised in answers.
    pub sent: Counter,
    /// Uploads that receive bytes.
    pub uploads: Gauge,
    /// Requests with wrong credentials (401 although some were given).
    pub logins_failed: Counter,
    /// Requests that a limit turned away.
    pub limited: Counter,
    /// Bytes of all objects, each once.
    pub stored: Gauge,
    /// Bytes that the disk has left.
    pub free: Gauge,
    /// Events that wait to be delivered.
    pub outbox: Gauge,
    /// Events that were delivered.
    pub delivered: Counter,
    /// Tries to deliver that failed.
    pub deliveries_failed: Counter,
    /// Events that were given up.
    pub dead_letters: Counter,
    /// Collections that ran.
    pub collections: Counter,
    /// When the last collection ended, in seconds since 1970.
    pub last_collection: Gauge,
    /// Bytes that the last collection freed.
    pub collected: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        Self::beside(|_| {})
    }

    /// All at zero, beside what `others` add: parts of the registry that keep their own.
    pub fn beside(others: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("estiba_registry");
        others(&mut registry);
        let requests = Arc::new(Requests::new());
        registry.register_collector(Box::new(Arc::clone(&requests)));
        registry.register_collector(Box::new(Process));
        registry.register_collector(Box::new(Runtime));
        let mut counter = |name: &str, help: &str| {
            let counter: Counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let received = counter("received_bytes", "Bytes of bodies received");
        let sent = counter("sent_bytes", "Bytes of bodies of answers");
        let logins_failed = counter("logins_failed", "Requests with wrong credentials");
        let limited = counter("limited", "Requests that a limit turned away");
        let delivered = counter("events_delivered", "Events that were delivered");
        let deliveries_failed = counter("events_failed", "Tries to deliver an event that failed");
        let dead_letters = counter("events_dead", "Events that were given up");
        let collections = counter("collections", "Collections that ran");
        let mut gauge = |name: &str, help: &str| {
            let gauge: Gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            connections: gauge("connections", "Connections that are open"),
            in_flight: gauge("requests_in_flight", "Requests that are being answered"),
            uploads: gauge("uploads_in_flight", "Uploads that receive bytes"),
            stored: gauge("stored_bytes", "Bytes of all objects, each once"),
            free: gauge("free_bytes", "Bytes that the disk has left"),
            outbox: gauge("events_waiting", "Events that wait to be delivered"),
            last_collection: gauge("last_collection_timestamp_seconds", "When the last collection ended"),
            collected: gauge("last_collection_freed_bytes", "Bytes that the last collection freed"),
            received,
            sent,
            logins_failed,
            limited,
            delivered,
            deliveries_failed,
            dead_letters,
            collections,
            requests,
            registry,
        }
    }

    /// Counts an answered request: no lock, no look-up.
    pub fn answered(&self, row: Option<&'static Row>, method: &Method, status: StatusCode, took: Duration) {
        self.requests.answered(row, method, status, took);
    }

    /// All figures in the text format of OpenMetrics.
    ///
    /// # Errors
    /// None that a text can have.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16 << 10);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Looks at what is not counted as it happens. Blocking: it asks the metadata and the disk.
    pub fn refresh(&self, registry: &crate::Registry) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        if let Ok(bytes) = registry.metadata.total_bytes() {
            self.stored.set(gauge(bytes));
        }
        if let Ok(events) = registry.metadata.pending_events() {
            self.outbox.set(gauge(events));
        }
        if let Ok(space) = registry.objects.space() {
            self.free.set(gauge(space.free));
        }
        if let Some((at, report)) = registry.collector.last()
            && self.last_collection.get() != at.0 / 1000
        {
            self.last_collection.set(at.0 / 1000);
            self.collected.set(gauge(report.bytes));
            self.collections.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_what_was_counted() {
        let metrics = Metrics::new();
        let row = crate::route::TABLE.iter().find(|row| row.name == "blob.get");
        let evil = Method::from_bytes(b"EVIL").unwrap();
        metrics.answered(row, &Method::GET, StatusCode::OK, Duration::from_micros(200));
        metrics.answered(row, &Method::GET, StatusCode::OK, Duration::from_secs(100));
        metrics.answered(None, &evil, StatusCode::IM_A_TEAPOT, Duration::ZERO);
        metrics.connections.inc();
        let text = metrics.text().unwrap();
        for line in [
            r#"estiba_registry_requests_total{endpoint="blob.get",method="GET",status="200"} 2"#,
            r#"estiba_registry_requests_total{endpoint="none",method="other",status="other"} 1"#,
            r#"estiba_registry_request_duration_seconds_bucket{le="0.00025",endpoint="blob.get"} 1"#,
            r#"estiba_registry_request_duration_seconds_bucket{le="+Inf",endpoint="blob.get"} 2"#,
            r#"estiba_registry_request_duration_seconds_count{endpoint="blob.get"} 2"#,
            "estiba_registry_connections 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert!(text.contains("estiba_registry_process_resident_memory_bytes "), "{text}");
        assert!(!text.contains("EVIL"));
    }
}
