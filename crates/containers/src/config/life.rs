//! How a container begins, ends and begins again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Seconds between the stop signal and SIGKILL, as docker has it.
pub const STOP_TIMEOUT: u64 = 10;

/// How a container begins, ends and begins again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Life {
    /// Whether it is removed when it ends (`--rm`).
    pub remove: bool,
    /// Whether who makes it starts it at once, holding it until then (`run`).
    pub at_once: bool,
    /// When it is started again.
    pub restart: Restart,
    /// The signal that asks it to end, by name or number; `None` is SIGTERM.
    pub stop_signal: Option<String>,
    /// Seconds until it is killed; `None` is [`STOP_TIMEOUT`]; negative: never.
    pub stop_timeout: Option<i64>,
    /// Its labels, those of its image among them.
    pub labels: BTreeMap<String, String>,
    /// Annotations, which only the OCI configuration shows.
    pub annotations: BTreeMap<String, String>,
    /// Where the number of its first process is written.
    pub pidfile: Option<PathBuf>,
}

/// `--restart`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// When it failed, so often at most; 0 is without end.
    OnFailure(u32),
    /// Always, unless a user stopped it; after a boot again.
    Always,
    /// The same, but not after a boot when it was stopped before.
    UnlessStopped,
}
