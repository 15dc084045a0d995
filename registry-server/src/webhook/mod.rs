//! Events for others: what happened in a repository, posted as CloudEvents to the endpoints of the configuration.
//!
//! An event's life: an endpoint of the registry writes, and then calls [`Events::record`], which puts a row
//! for each receiver into the outbox of the metadata: when the caller hears of its push, the events are durable.
//! The worker takes what is due, posts it, and forgets the row when the receiver says 2xx; otherwise it waits, longer each
//! time, and gives up after days. At least once: a receiver knows a repeated event by its `id`.

mod config;
mod event;

use std::sync::Arc;

use oci::RepositoryName;

use crate::metadata::{self, Metadata};
use crate::time::Instant;

pub use config::{Endpoint, Webhook};
pub use event::{Event, Kind};

/// Where the registry's endpoints report what happened. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    metadata: Arc<dyn Metadata>,
    wanted: [bool; Kind::ALL.len()],
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl Events {
    /// Events for the endpoints of the configuration; `source` is what they name as their origin.
    pub fn new(metadata: Arc<dyn Metadata>, _config: &Webhook, _source: &str) -> Self {
        Self { metadata, wanted: [false; Kind::ALL.len()] }
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
        if !events.iter().any(|event| self.wants(event.kind())) {
            return Ok(());
        }
        let id = format!("{}-{actor}", at.0);
        let rows: Vec<_> =
            events.iter().map(|event| event::cloud_event(&id, "", repository, actor, at, event).to_string()).collect();
        self.metadata.enqueue(&rows, at)
    }
}
