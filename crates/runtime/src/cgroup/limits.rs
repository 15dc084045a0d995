//! What is limited, in docker's words, and what each version of control groups writes for it.

use serde::{Deserialize, Serialize};

/// Limits of a group; what is absent is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together; -1 is no limit; absent, it is twice the memory.
    pub memory_swap: Option<i64>,
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

/// Who enforces a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Controller {
    Cpuset,
    Cpu,
    Memory,
    Pids,
}

impl Controller {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpuset => "cpuset",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// The two interfaces that kernels have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Version {
    One,
    Two,
}

/// One file of a group, and what is written into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: Controller,
    pub(super) file: &'static str,
    pub(super) value: String,
    /// Kernels without accounting of swap do not have the file.
    pub(super) may_lack: bool,
}

/// docker's period, where only a quota is given.
const PERIOD: u64 = 100_000;

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The controllers that it takes.
    pub(super) fn controllers(&self) -> Vec<Controller> {
        let mut all: Vec<Controller> = self.settings(Version::Two).iter().map(|setting| setting.controller).collect();
        all.sort();
        all.dedup();
        all
    }

    /// What is to be written, in an order that the kernel takes.
    pub(super) fn settings(&self, version: Version) -> Vec<Setting> {
        let mut all = Vec::new();
        let mut add = |controller, (one, two), value: Option<String>, may_lack| {
            let file = if version == Version::One { one } else { two };
            all.extend(value.map(|value| Setting { controller, file, value, may_lack }));
        };
        use Controller::{Cpu, Cpuset, Memory, Pids};
        add(Cpuset, ("cpuset.cpus", "cpuset.cpus"), self.cpuset_cpus.clone(), false);
        add(Cpuset, ("cpuset.mems", "cpuset.mems"), self.cpuset_mems.clone(), false);
        let number = |value: u64| value.to_string();
        match version {
            Version::One => {
                add(Cpu, ("cpu.shares", ""), self.cpu_shares.map(number), false);
                add(Cpu, ("cpu.cfs_period_us", ""), self.cpu_period.map(number), false);
                add(Cpu, ("cpu.cfs_quota_us", ""), self.cpu_quota.map(number), false);
            }
            Version::Two => {
                add(Cpu, ("", "cpu.weight"), self.cpu_shares.map(|shares| weight(shares).to_string()), false);
                let max = self.cpu_quota.map_or("max".to_owned(), number);
                let given = self.cpu_quota.or(self.cpu_period);
                let max = given.map(|_| format!("{max} {}", self.cpu_period.unwrap_or(PERIOD)));
                add(Cpu, ("", "cpu.max"), max, false);
            }
        }
        add(Memory, ("memory.limit_in_bytes", "memory.max"), self.memory.map(number), false);
        add(Memory, ("memory.memsw.limit_in_bytes", "memory.swap.max"), self.swap(version), true);
        add(Pids, ("pids.max", "pids.max"), self.pids.map(number), false);
        all
    }

    /// The older version counts memory and swap together, the newer one swap alone.
    fn swap(&self, version: Version) -> Option<String> {
        let total = match (self.memory_swap, self.memory) {
            (Some(total), _) => u64::try_from(total).ok(),
            (None, Some(memory)) => Some(memory.saturating_mul(2)),
            (None, None) => return None,
        };
        Some(match (total, version) {
            (None, Version::One) => "-1".to_owned(),
            (None, Version::Two) => "max".to_owned(),
            (Some(total), Version::One) => total.to_string(),
            (Some(total), Version::Two) => total.saturating_sub(self.memory.unwrap_or(0)).to_string(),
        })
    }
}

/// 2…262144 as 1…10000, as every runtime does it.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limits: &Limits, version: Version) -> Vec<String> {
        limits.settings(version).iter().map(|setting| format!("{}={}", setting.file, setting.value)).collect()
    }

    #[test]
    fn both_versions() {
        let limits = Limits {
            memory: Some(1 << 20),
            cpu_shares: Some(1024),
            cpu_quota: Some(50_000),
            cpuset_cpus: Some("0".to_owned()),
            ..Limits::default()
        };
        assert_eq!(
            written(&limits, Version::Two),
            ["cpuset.cpus=0", "cpu.weight=39", "cpu.max=50000 100000", "memory.max=1048576", "memory.swap.max=1048576"]
        );
        assert_eq!(
            written(&limits, Version::One),
            [
                "cpuset.cpus=0",
                "cpu.shares=1024",
                "cpu.cfs_quota_us=50000",
                "memory.limit_in_bytes=1048576",
                "memory.memsw.limit_in_bytes=2097152"
            ]
        );
        let names: Vec<_> = limits.controllers().into_iter().map(Controller::name).collect();
        assert_eq!(names, ["cpuset", "cpu", "memory"]);
        let unlimited = Limits { memory: Some(1), memory_swap: Some(-1), ..Limits::default() };
        assert_eq!(written(&unlimited, Version::Two), ["memory.max=1", "memory.swap.max=max"]);
        let period = Limits { cpu_period: Some(10_000), ..Limits::default() };
        assert_eq!(written(&period, Version::Two), ["cpu.max=max 10000"]);
        assert_eq!((weight(2), weight(262_144), weight(0)), (1, 10_000, 1));
    }
}
