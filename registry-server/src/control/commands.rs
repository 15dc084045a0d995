//! THE TABLE of what a running registry does when it is told to.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Command, Progress, Reply};
use crate::Registry;
use crate::collect::{Collector, Report, Rules};
use crate::config::Duration;
use crate::time::Instant;

/// Reads again; says in words what could not be.
pub type Reload = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A registry that runs, as its control socket sees it.
pub struct Running {
    /// The registry.
    pub registry: Arc<Registry>,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Its data directory.
    pub root: PathBuf,
    /// Since when.
    pub started: Instant,
    /// Reads again what may change while it serves; says what could not be.
    pub reload: Reload,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("root", &self.root).finish_non_exhaustive()
    }
}

/// All commands.
pub const COMMANDS: &[Command<Running>] = &[
    Command { name: "status", run: |running, _, _| answer(&status(running)?) },
    Command { name: "reload", run: |running, _, _| (running.reload)().map(|()| Value::Null) },
    Command { name: "drain", run: drain },
    Command { name: "gc", run: gc },
    Command { name: "retention", run: crate::data::served::retention },
    Command { name: "fsck", run: crate::data::served::fsck },
    Command { name: "backup", run: crate::data::served::backup },
    Command { name: "import", run: crate::data::served::import },
];

/// A command's answer.
pub(crate) fn answer(value: &impl Serialize) -> Reply {
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// A command's arguments; `null` stands for none.
pub(crate) fn arguments<'de, T: Deserialize<'de> + Default>(value: Value) -> Result<T, String> {
    if value.is_null() { Ok(T::default()) } else { T::deserialize(value).map_err(|error| error.to_string()) }
}

/// What `estiba registry status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Its data directory.
    pub root: PathBuf,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Since when.
    pub started: Instant,
    /// Whether it is ending.
    pub draining: bool,
    /// Why it is not ready, where it is not.
    pub trouble: Vec<String>,
    /// Bytes of all objects, each once.
    pub bytes: u64,
    /// Bytes that the disk has left.
    pub free: u64,
    /// Events that wait to be delivered.
    pub events: u64,
    /// When the last collection ended, since it runs.
    pub collected: Option<Instant>,
}

fn status(running: &Running) -> Result<Status, String> {
    let registry = &running.registry;
    let health = crate::observe::health::readiness(registry);
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        root: running.root.clone(),
        addresses: running.addresses.clone(),
        started: running.started,
        draining: running.registry.stop.is_cancelled(),
        trouble: health,
        bytes: registry.metadata.total_bytes().map_err(|error| error.to_string())?,
        free: registry.objects.space().map_err(|error| error.to_string())?.free,
        events: registry.metadata.pending_events().map_err(|error| error.to_string())?,
        collected: registry.collector.last().map(|(at, _)| at),
    })
}

fn drain(running: &Arc<Running>, _: Value, _: &mut Progress<'_>) -> Reply {
    running.registry.stop.cancel();
    Ok(Value::Null)
}

/// How a collection is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collect {
    /// Only say what would go.
    pub dry_run: bool,
    /// Another grace than the configuration's.
    pub grace: Option<Duration>,
}

/// Collects as asked. `served`: while clients are answered.
///
/// # Errors
/// In words for people.
pub fn collect(
    registry: &Registry,
    asked: Collect,
    served: bool,
    progress: &mut dyn FnMut(&Report) -> bool,
) -> Result<Report, String> {
    let mut gc = registry.config.gc.clone();
    let own = match asked.grace {
        None => None,
        // A lease may be older than the last request by the time within which it is not renewed.
        Some(grace) if served && grace.get() < gc.renew() * 2 => {
            return Err(format!(
                "while the registry serves with a grace of {}, a collection needs at least {}: \
                 leases are renewed no more often than that",
                gc.grace,
                Duration(gc.renew() * 2)
            ));
        }
        Some(grace) => {
            gc.grace = grace;
            let rules = Rules::new(&gc, &registry.config.storage);
            Some(Collector::new(registry.metadata.clone(), registry.objects.clone(), rules))
        }
    };
    let collected = match &own {
        None => registry.collector.collect_now(asked.dry_run, Instant::now(), progress),
        // A copy that is being made needs both to rest.
        Some(own) => registry.collector.at_rest(|| own.collect_now(asked.dry_run, Instant::now(), progress)),
    };
    collected.map_err(|error| error.to_string())
}

fn gc(running: &Arc<Running>, given: Value, progress: &mut Progress<'_>) -> Reply {
    let asked = arguments(given)?;
    let mut report = |report: &Report| serde_json::to_value(report).is_ok_and(&mut *progress);
    answer(&collect(&running.registry, asked, true, &mut report)?)
}
