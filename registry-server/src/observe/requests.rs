//! Requests by endpoint, method and status, and how long they took.
//!
//! Every series has its place in a table that is made at the start: counting is a few additions, without a lock
//! and without a look-up, and no client can make a series.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::route::{Row, TABLE};

/// Methods that are told apart; others count as the last.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];
/// Statuses that are told apart; others count as the last.
const STATUSES: [u16; 25] = [
    200, 201, 202, 204, 206, 301, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 413, 414, 416, 429, 500, 502, 503,
    507, 0,
];
/// Upper ends of the buckets, in microseconds: from a manifest in memory to a large blob over a slow line.
const BUCKETS: [u64; 16] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
    10_000_000, 60_000_000,
];

/// The table.
#[derive(Debug)]
pub(super) struct Requests {
    endpoints: Vec<Endpoint>,
}

#[derive(Debug)]
struct Endpoint {
    name: &'static str,
    answered: [[AtomicU64; STATUSES.len()]; METHODS.len()],
    took: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

impl Endpoint {
    fn new(name: &'static str) -> Self {
        Self { name, answered: Default::default(), took: Default::default(), micros: AtomicU64::default() }
    }
}

impl Requests {
    pub(super) fn new() -> Self {
        // The last one is for what no row answers.
        Self { endpoints: TABLE.iter().map(|row| row.name).chain(["none"]).map(Endpoint::new).collect() }
    }

    pub(super) fn answered(&self, row: Option<&'static Row>, method: &Method, status: StatusCode, took: Duration) {
        let at = row.and_then(|row| TABLE.iter().position(|other| std::ptr::eq(other, row)));
        let endpoint = &self.endpoints[at.unwrap_or(TABLE.len())];
        endpoint.answered[method_index(method)][status_index(status)].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        endpoint.took[BUCKETS.partition_point(|end| *end < micros)].fetch_add(1, Ordering::Relaxed);
        endpoint.micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn encode_counts(&self, mut family: MetricEncoder<'_>) -> std::fmt::Result {
        // Rows that share a name are one series.
        for (name, endpoints) in self.by_name() {
            for (method, method_name) in METHODS.iter().enumerate() {
                for (status, code) in STATUSES.iter().enumerate() {
                    let cell = |endpoint: &&Endpoint| endpoint.answered[method][status].load(Ordering::Relaxed);
                    let count: u64 = endpoints.iter().map(cell).sum();
                    if count > 0 {
                        let code = if *code == 0 { "other".to_owned() } else { code.to_string() };
                        let labels = [("endpoint", name), ("method", *method_name), ("status", code.as_str())];
                        family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn encode_times(&self, mut family: MetricEncoder<'_>) -> std::fmt::Result {
        for (name, endpoints) in self.by_name() {
            let cell = |bucket: usize| -> u64 {
                endpoints.iter().map(|endpoint| endpoint.took[bucket].load(Ordering::Relaxed)).sum()
            };
            let mut buckets = Vec::with_capacity(BUCKETS.len() + 1);
            for (bucket, end) in BUCKETS.iter().enumerate() {
                buckets.push((seconds(*end), cell(bucket)));
            }
            buckets.push((f64::INFINITY, cell(BUCKETS.len())));
            let count: u64 = buckets.iter().map(|(_, count)| count).sum();
            let micros = endpoints.iter().map(|endpoint| endpoint.micros.load(Ordering::Relaxed)).sum();
            if count > 0 {
                let labels = [("endpoint", name)];
                let mut series = family.encode_family(&labels)?;
                series.encode_histogram::<NoLabelSet>(seconds(micros), count, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn by_name(&self) -> Vec<(&'static str, Vec<&Endpoint>)> {
        let mut names: Vec<(&'static str, Vec<&Endpoint>)> = Vec::new();
        for endpoint in &self.endpoints {
            match names.iter_mut().find(|(name, _)| *name == endpoint.name) {
                Some((_, endpoints)) => endpoints.push(endpoint),
                None => names.push((endpoint.name, vec![endpoint])),
            }
        }
        names
    }
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let counts = encoder.encode_descriptor(
            "requests",
            "Requests that were answered, by endpoint, method and status",
            None,
            MetricType::Counter,
        )?;
        self.encode_counts(counts)?;
        let times = encoder.encode_descriptor(
            "request_duration_seconds",
            "From the head of a request to the head of its answer",
            None,
            MetricType::Histogram,
        )?;
        self.encode_times(times)
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of years fit")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn method_index(method: &Method) -> usize {
    METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1)
}

fn status_index(status: StatusCode) -> usize {
    STATUSES.iter().position(|code| *code == status.as_u16()).unwrap_or(STATUSES.len() - 1)
}
