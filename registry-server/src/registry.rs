//! The state that all requests share.

use std::fmt;
use std::sync::Arc;

use crate::auth::Gate;
use crate::config::Config;
use crate::metadata::Metadata;
use crate::mirror::Mirror;
use crate::refusal::{Refusal, Result};
use crate::storage::Objects;
use crate::webhook::Events;

/// A registry: what its endpoints work with.
pub struct Registry {
    /// Choices of whoever runs it.
    pub config: Arc<Config>,
    /// Bytes.
    pub objects: Arc<dyn Objects>,
    /// What is known about them.
    pub metadata: Arc<dyn Metadata>,
    /// Who may do what.
    pub gate: Gate,
    /// What is told to others.
    pub events: Events,
    /// Other registries whose content is served here.
    pub mirror: Option<Arc<Mirror>>,
    /// Figures that the page shows and that are not found out every time.
    pub figures: crate::page::Figures,
}

/// What a registry is put together from.
pub struct Parts {
    /// Choices of whoever runs it.
    pub config: Config,
    /// Bytes.
    pub objects: Arc<dyn Objects>,
    /// What is known about them.
    pub metadata: Arc<dyn Metadata>,
    /// Who may do what.
    pub gate: Gate,
    /// Other registries whose content is served here.
    pub mirror: Option<Arc<Mirror>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("config", &self.config).finish_non_exhaustive()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Registry {
    /// Puts a registry together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { config, objects, metadata, gate, mirror } = parts;
        let source = config.server.url.clone().unwrap_or_else(|| "urn:estiba:registry".to_owned());
        let events = Events::new(Arc::clone(&metadata), &config.webhook, &source);
        Arc::new(Self {
            config: Arc::new(config),
            objects,
            metadata,
            gate,
            events,
            mirror,
            figures: crate::page::Figures::default(),
        })
    }

    /// Runs what blocks off the reactor.
    ///
    /// # Errors
    /// What `work` gives; a panic within it is a failure of ours.
    pub async fn blocking<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Registry) -> Result<T> + Send + 'static,
    {
        let registry = Arc::clone(self);
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || span.in_scope(|| work(&registry))).await;
        done.unwrap_or_else(|error| Err(Refusal::internal(error)))
    }
}
