//! How much a container may take.

use serde::{Deserialize, Serialize};

/// How much a container may take.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Limits by control groups.
    pub limits: runtime::cgroup::Limits,
    /// Where its group is made.
    pub parent: Option<String>,
    /// Whether it gets one.
    pub groups: Groups,
    /// Limits of processes.
    pub rlimits: Vec<runtime::container::Rlimit>,
    /// The most bytes on disk of its own tree, what the image has not counted.
    pub disk: Option<u64>,
    /// The kernel's preference to kill it first.
    pub oom_score_adj: Option<i32>,
}

/// `--cgroups`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Groups {
    /// Where one is to be had.
    #[default]
    Enabled,
    /// Never.
    Disabled,
    /// Within the group that its supervisor is started in: a unit's.
    Split,
}
