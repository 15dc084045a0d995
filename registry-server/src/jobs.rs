//! THE LIST of what a registry does besides answering: each a task that ends when the registry does.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::Registry;

/// How long the tasks may take to end: a step of a collection, a delivery under way.
const ENDING: Duration = Duration::from_secs(10);

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
    tasks.close();
    Jobs(tasks)
}

impl Jobs {
    /// Waits until they have ended, for a while.
    pub async fn finish(self) {
        if tokio::time::timeout(ENDING, self.0.wait()).await.is_err() {
            tracing::warn!(tasks = self.0.len(), "background work did not end in time");
        }
    }
}
