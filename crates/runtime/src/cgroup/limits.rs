//! What is limited, in docker's words, and what each version of control groups writes for it.

use serde::{Deserialize, Serialize};

/// Limits of a group; what is absent is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together; `Some(None)` is no limit; absent, it is twice the memory.
    pub memory_swap: Option<Option<u64>>,
    /// Weight among others: 1024 is everybody's.
    pub cpu_shares: Option<u64>,
    /// Microseconds of a scheduler's period.
    pub cpu_period: Option<u64>,
    /// Microseconds of processor time in a period.
    pub cpu_quota: Option<u64>,
    /// Processors, as `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, as `0-1`.
    pub cpuset_mems: Option<String>,
    /// Processes and threads.
    pub pids: Option<u64>,
}
