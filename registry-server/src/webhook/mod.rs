//! Events for others: what happened in a repository, posted as CloudEvents to the endpoints of the configuration.
//!
//! An event's life: an endpoint of the registry writes, and then calls [`Events::record`], which puts a row
//! for each receiver into the outbox of the metadata: when the caller hears of its push, the events are durable.
//! The worker takes what is due, posts it, and forgets the row when the receiver says 2xx; otherwise it waits, longer each
//! time, and gives up after days. At least once: a receiver knows a repeated event by its `id`. In order, for each receiver and
//! repository, as long as nothing fails; after a failure those behind wait with the one that failed.

mod config;
mod delivery;
mod envelope;
mod event;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use oci::RepositoryName;
use tokio::sync::Notify;

use crate::auth::policy::Pattern;
use crate::metadata::{self, Metadata};
use crate::time::Instant;

pub use config::{Endpoint, Webhook};
pub(crate) use delivery::Worker;
pub use event::{Event, Kind};

use envelope::Envelope;

/// Where the registry's endpoints report what happened. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    metadata: Arc<dyn Metadata>,
    source: Arc<str>,
    receivers: Arc<[Receiver]>,
    /// Whether any receiver wants a kind.
    wanted: [bool; Kind::ALL.len()],
    /// Woken when the outbox has something new.
    news: Arc<Notify>,
}

/// What one receiver wants.
#[derive(Debug)]
struct Receiver {
    name: String,
    kinds: [bool; Kind::ALL.len()],
    repositories: Vec<Pattern>,
}

impl Receiver {
    fn new(endpoint: &Endpoint) -> Self {
        let kinds = Kind::ALL.map(|kind| endpoint.events.iter().any(|pattern| named(pattern, kind)));
        // What is no pattern was refused when the configuration was read.
        let repositories = endpoint.repositories.iter().filter_map(|pattern| Pattern::parse(pattern).ok()).collect();
        Self { name: endpoint.name().to_owned(), kinds, repositories }
    }

    fn wants(&self, kind: Kind, repository: &RepositoryName) -> bool {
        self.kinds[kind as usize] && self.repositories.iter().any(|pattern| pattern.matches(repository.as_str(), None))
    }
}

/// Whether a filter means a kind. There are as many pulls as there are pulls: they must be named.
fn named(pattern: &str, kind: Kind) -> bool {
    let matches = globset::Glob::new(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(kind.as_str()));
    matches && (kind != Kind::ManifestPulled || pattern.contains("pulled"))
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("receivers", &self.receivers).finish_non_exhaustive()
    }
}

impl Events {
    /// Events for the endpoints of the configuration; `source` is what they name as their origin, unless the section does.
    pub fn new(metadata: Arc<dyn Metadata>, config: &Webhook, source: &str) -> Self {
        let receivers: Arc<[Receiver]> = config.endpoint.iter().map(Receiver::new).collect();
        let wanted = Kind::ALL.map(|kind| receivers.iter().any(|receiver| receiver.kinds[kind as usize]));
        let source = config.source.as_deref().unwrap_or(source).into();
        Self { metadata, source, receivers, wanted, news: Arc::new(Notify::new()) }
    }

    /// Whether anybody wants such events: where not, the caller need not make them. Costs nothing.
    pub fn wants(&self, kind: Kind) -> bool {
        self.wanted[kind as usize]
    }

    /// Puts events into the outbox, durably, in their order. Blocking: call it off the reactor, after the write they tell of.
    ///
    /// # Errors
    /// When the metadata fails. The write they tell of has happened nevertheless.
    pub fn record(
        &self,
        repository: &RepositoryName,
        actor: &str,
        at: Instant,
        events: &[Event],
    ) -> metadata::Result<()> {
        let mut rows = Vec::new();
        for event in events.iter().filter(|event| self.wants(event.kind())) {
            let mut wanting =
                self.receivers.iter().filter(|receiver| receiver.wants(event.kind(), repository)).peekable();
            if wanting.peek().is_none() {
                continue;
            }
            let id = identity().map_err(metadata::Error::Database)?;
            let written = event::cloud_event(&id, &self.source, repository, actor, at, event);
            for receiver in wanting {
                let row = Envelope {
                    endpoint: receiver.name.clone(),
                    at,
                    repository: repository.to_string(),
                    event: serde_json::value::to_raw_value(&written).map_err(lost)?,
                };
                rows.push(serde_json::to_string(&row).map_err(lost)?);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.metadata.enqueue(&rows, at)?;
        self.news.notify_one();
        Ok(())
    }
}

fn lost(error: serde_json::Error) -> metadata::Error {
    metadata::Error::Database(format!("an event cannot be written: {error}"))
}

/// What an event is known by: 32 hexadecimal digits.
fn identity() -> Result<String, String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
