//! THE LIST of what a registry does besides answering: each a task that ends when the registry does.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::Registry;
use crate::webhook::Worker;

/// How long the tasks may take to end: a step of a collection, a delivery under way.
const ENDING: Duration = Duration::from_secs(10);

/// How often figures are looked up: a little more often than they are usually asked for.
const REFRESH: Duration = Duration::from_secs(10);
/// When retention first looks after a start.
const RETENTION_FIRST: Duration = Duration::from_secs(300);

/// The tasks of a registry.
#[derive(Debug)]
pub struct Jobs(TaskTracker);

/// Starts them. They end when [`Registry::stop`] is cancelled.
pub fn start(registry: &Arc<Registry>) -> Jobs {
    let tasks = TaskTracker::new();
    if registry.config.gc.enabled {
        let interval = registry.config.gc.interval.get();
        tasks.spawn(Arc::clone(&registry.collector).run(interval, registry.stop.clone()));
    }
    if let Some(mirror) = &registry.mirror {
        tasks.spawn(Arc::clone(mirror).tend(registry.stop.clone()));
    }
    match Worker::new(&registry.config.webhook, &registry.events, Arc::clone(&registry.metrics), &registry.root) {
        Ok(Some(worker)) => drop(tasks.spawn(worker.run(registry.stop.clone()))),
        Ok(None) => {}
        Err(error) => tracing::error!(error, "events wait: nobody can be called"),
    }
    tasks.spawn(refresh(Arc::clone(registry)));
    if !registry.config.retention.is_empty() {
        tasks.spawn(retention(Arc::clone(registry)));
    }
    tasks.close();
    Jobs(tasks)
}

/// Keeps the figures fresh that are looked up, not counted.
async fn refresh(registry: Arc<Registry>) {
    let mut ticks = tokio::time::interval(REFRESH);
    loop {
        tokio::select! {
            () = registry.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let again = Arc::clone(&registry);
        if let Err(error) = tokio::task::spawn_blocking(move || again.metrics.refresh(&again)).await {
            tracing::error!(%error, "figures are old");
        }
    }
}

/// Lets tags go by rule, as often as the collector takes what they named.
async fn retention(registry: Arc<Registry>) {
    let interval = registry.config.gc.interval.get();
    // Whoever starts a server with a new rule has a while to think again.
    let mut wait = interval.min(RETENTION_FIRST);
    loop {
        tokio::select! {
            () = registry.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let done = registry.blocking(|registry| Ok(crate::data::served::retain(registry, Default::default())?)).await;
        if let Err(refusal) = done {
            tracing::error!(cause = refusal.cause.unwrap_or_default(), "retention ended early");
        }
        wait = interval;
    }
}

impl Jobs {
    /// Waits until they have ended, for a while.
    pub async fn finish(self) {
        if tokio::time::timeout(ENDING, self.0.wait()).await.is_err() {
            tracing::warn!(tasks = self.0.len(), "background work did not end in time");
        }
    }
}
