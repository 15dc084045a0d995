//! What happens to a container.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::time::Moment;

/// Where a container is in its life, in docker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never started.
    #[default]
    Created,
    /// Its program runs.
    Running,
    /// It is frozen.
    Paused,
    /// It ended, and is about to be started again.
    Restarting,
    /// It ended.
    Exited,
}

/// A process, so that its number cannot mean another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number, as the host's processes see it.
    pub pid: i32,
    /// When it started: field 22 of `/proc/<pid>/stat`, in ticks since the boot.
    pub start: u64,
}

/// What happens to a container. Written by its supervisor; read with [`crate::Containers`], which believes it only as far as the
/// lock and the processes agree.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Where it is.
    pub status: Status,
    /// The boot in which that was so.
    pub boot: String,
    /// Its supervisor, while there is one.
    pub supervisor: Option<ProcessId>,
    /// Its first process, while it runs.
    pub init: Option<ProcessId>,
    /// Those beside it that serve its network, and end with it.
    #[serde(alias = "helpers")]
    pub sidecars: Vec<ProcessId>,
    /// When it started last.
    pub started: Moment,
    /// When it ended last.
    pub finished: Moment,
    /// What it exited with last: 128 + the signal where one ended it.
    pub exit_code: Option<i32>,
    /// Whether the kernel killed a process of it for its memory.
    pub oom_killed: bool,
    /// Why it did not start.
    pub error: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether a user stopped it: then only a user starts it again.
    pub stopped: bool,
    /// Its control groups, a folder a hierarchy.
    pub groups: Vec<PathBuf>,
    /// What is known of its health.
    pub health: Option<Health>,
    /// What its network came to.
    pub network: Network,
}

/// What is known of a container's health.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing: u32,
    /// The last answers, the newest last.
    pub log: Vec<Probe>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// When it was asked.
    pub start: Moment,
    /// When it answered.
    pub end: Moment,
    /// What it exited with.
    pub exit_code: i32,
    /// What it said, cut.
    pub output: String,
}

/// What a container's network came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Who carries it: `pasta`, `slirp4netns`, `bridge`; `None` where nobody has to.
    pub driver: Option<String>,
    /// What is published, sorted.
    pub ports: Vec<crate::network::ports::Published>,
    /// Its places in networks; a private one has no name.
    pub places: Vec<Place>,
    /// What of that was asked and could not be had.
    pub notes: Vec<String>,
}

/// A container's place in a network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// The network's name; empty for a private one.
    pub network: String,
    /// The interface inside.
    pub interface: String,
    /// Its addresses, with the length of their networks.
    pub addresses: Vec<(std::net::IpAddr, u8)>,
    /// Its way out.
    pub gateways: Vec<std::net::IpAddr>,
    /// Its hardware address.
    pub mac: Option<crate::config::MacAddress>,
    /// Its other names there.
    pub aliases: Vec<String>,
}
