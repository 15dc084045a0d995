//! The program of a container.

use serde::{Deserialize, Serialize};

/// The program of a container, settled against its image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// How many of `args` are the entry point.
    pub entrypoint: usize,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// The working directory; empty is `/`.
    pub cwd: String,
    /// As the image or `--user` wrote it.
    pub user: String,
    /// Groups besides those of the image.
    pub groups: Vec<String>,
    /// The host name; `None` where the host is asked to lend its own (`--uts host`).
    pub hostname: Option<String>,
    /// Whether process 1 is ours.
    pub init: bool,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether its standard input stays open while nobody is attached (`-i`).
    pub stdin: bool,
    /// The keys that leave it; `None` is ctrl-p,ctrl-q.
    pub detach_keys: Option<String>,
}
