//! What each version of control groups writes for a limit.

use serde::{Deserialize, Serialize};

use super::limits::{Limits, Rate, UNLIMITED};

/// Who enforces a limit, or counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Controller {
    Cpuset,
    Cpu,
    Memory,
    Pids,
    Io,
    /// Counts processor time. The older version only.
    Cpuacct,
    /// Freezes. The older version only.
    Freezer,
}

impl Controller {
    pub(super) fn name(self, version: Version) -> &'static str {
        match self {
            Self::Cpuset => "cpuset",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Io if version == Version::One => "blkio",
            Self::Io => "io",
            Self::Cpuacct => "cpuacct",
            Self::Freezer => "freezer",
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
    /// Kernels without accounting of swap, or without a scheduler of devices, do not have the file.
    pub(super) may_lack: bool,
}

/// docker's period, where only a quota is given.
const PERIOD: u64 = 100_000;

impl Limits {
    /// The controllers that it takes.
    pub(super) fn controllers(&self) -> Vec<Controller> {
        let mut all: Vec<Controller> = self.settings(Version::Two).iter().map(|setting| setting.controller).collect();
        all.extend((self.memory_swappiness.is_some() || self.oom_kill_disable).then_some(Controller::Memory));
        all.sort();
        all.dedup();
        all
    }

    /// What is to be written, in an order that the kernel takes.
    pub(super) fn settings(&self, version: Version) -> Vec<Setting> {
        let mut all = Settings { version, all: Vec::new() };
        use Controller::{Cpuset, Io, Memory, Pids};
        all.add(Cpuset, ("cpuset.cpus", "cpuset.cpus"), self.cpuset_cpus.clone());
        all.add(Cpuset, ("cpuset.mems", "cpuset.mems"), self.cpuset_mems.clone());
        self.processors(&mut all);
        all.add(Memory, ("memory.limit_in_bytes", "memory.max"), self.memory.map(|bytes| all.number(bytes)));
        all.optional(Memory, ("memory.memsw.limit_in_bytes", "memory.swap.max"), self.swap(version));
        let reservation = self.memory_reservation.map(|bytes| all.number(bytes));
        all.add(Memory, ("memory.soft_limit_in_bytes", "memory.low"), reservation);
        if version == Version::One {
            all.add(Memory, ("memory.swappiness", ""), self.memory_swappiness.map(|value| value.to_string()));
            all.add(Memory, ("memory.oom_control", ""), self.oom_kill_disable.then(|| "1".to_owned()));
        }
        all.add(Pids, ("pids.max", "pids.max"), self.pids.map(pids));
        let weight = self.blkio_weight.map(|weight| match version {
            Version::One => weight.to_string(),
            Version::Two => format!("default {}", io_weight(weight)),
        });
        all.optional(Io, ("blkio.bfq.weight", "io.weight"), weight);
        for throttle in &self.throttles {
            let (one, two) = match throttle.what {
                Rate::ReadBytes => ("blkio.throttle.read_bps_device", "rbps"),
                Rate::WriteBytes => ("blkio.throttle.write_bps_device", "wbps"),
                Rate::Reads => ("blkio.throttle.read_iops_device", "riops"),
                Rate::Writes => ("blkio.throttle.write_iops_device", "wiops"),
            };
            let value = match version {
                Version::One => format!("{} {}", throttle.device, throttle.rate),
                Version::Two => format!("{} {two}={}", throttle.device, throttle.rate),
            };
            all.add(Io, (one, "io.max"), Some(value));
        }
        all.all
    }

    fn processors(&self, all: &mut Settings) {
        use Controller::Cpu;
        match all.version {
            Version::One => {
                all.add(Cpu, ("cpu.shares", ""), self.cpu_shares.map(|shares| shares.to_string()));
                all.add(Cpu, ("cpu.cfs_period_us", ""), self.cpu_period.map(|period| period.to_string()));
                let quota =
                    self.cpu_quota.map(|quota| if quota == UNLIMITED { "-1".to_owned() } else { quota.to_string() });
                all.add(Cpu, ("cpu.cfs_quota_us", ""), quota);
            }
            Version::Two => {
                all.add(Cpu, ("", "cpu.weight"), self.cpu_shares.map(|shares| weight(shares).to_string()));
                let max = self
                    .cpu_quota
                    .filter(|quota| *quota != UNLIMITED)
                    .map_or("max".to_owned(), |quota| quota.to_string());
                let given = self.cpu_quota.or(self.cpu_period);
                all.add(Cpu, ("", "cpu.max"), given.map(|_| format!("{max} {}", self.cpu_period.unwrap_or(PERIOD))));
            }
        }
    }

    /// The older version counts memory and swap together, the newer one swap alone.
    fn swap(&self, version: Version) -> Option<String> {
        let total = match (self.memory_swap, self.memory) {
            (Some(total), _) => u64::try_from(total).ok(),
            (None, Some(UNLIMITED)) => None,
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

/// What is gathered for one version.
struct Settings {
    version: Version,
    all: Vec<Setting>,
}

impl Settings {
    fn add(&mut self, controller: Controller, files: (&'static str, &'static str), value: Option<String>) {
        self.push(controller, files, value, false);
    }

    fn optional(&mut self, controller: Controller, files: (&'static str, &'static str), value: Option<String>) {
        self.push(controller, files, value, true);
    }

    fn push(
        &mut self,
        controller: Controller,
        (one, two): (&'static str, &'static str),
        value: Option<String>,
        may_lack: bool,
    ) {
        let file = if self.version == Version::One { one } else { two };
        self.all.extend(value.map(|value| Setting { controller, file, value, may_lack }));
    }

    /// Bytes, where no limit has a word.
    fn number(&self, value: u64) -> String {
        match (value, self.version) {
            (UNLIMITED, Version::One) => "-1".to_owned(),
            (UNLIMITED, Version::Two) => "max".to_owned(),
            (value, _) => value.to_string(),
        }
    }
}

/// The one file for which both versions have the newer one's word.
fn pids(value: u64) -> String {
    if value == UNLIMITED { "max".to_owned() } else { value.to_string() }
}

/// 2…262144 as 1…10000, as every runtime does it.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// 10…1000 as 1…10000, likewise.
fn io_weight(weight: u64) -> u64 {
    1 + (weight.clamp(10, 1000) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Throttle;

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
        let names: Vec<_> = limits.controllers().into_iter().map(|controller| controller.name(Version::Two)).collect();
        assert_eq!(names, ["cpuset", "cpu", "memory"]);
    }

    #[test]
    fn what_is_not_limited_any_more() {
        let unlimited = Limits { memory: Some(1), memory_swap: Some(-1), ..Limits::default() };
        assert_eq!(written(&unlimited, Version::Two), ["memory.max=1", "memory.swap.max=max"]);
        let period = Limits { cpu_period: Some(10_000), ..Limits::default() };
        assert_eq!(written(&period, Version::Two), ["cpu.max=max 10000"]);
        let none = Limits { cpu_quota: Some(UNLIMITED), pids: Some(UNLIMITED), ..Limits::default() };
        assert_eq!(written(&none, Version::Two), ["cpu.max=max 100000", "pids.max=max"]);
        assert_eq!(written(&none, Version::One), ["cpu.cfs_quota_us=-1", "pids.max=max"]);
        assert_eq!((weight(2), weight(262_144), weight(0)), (1, 10_000, 1));
        assert_eq!((io_weight(10), io_weight(500), io_weight(1000)), (1, 4950, 10_000));
    }

    #[test]
    fn devices_and_what_only_the_older_version_has() {
        let throttle = Throttle { device: "8:0".to_owned(), what: Rate::WriteBytes, rate: 1024 };
        let limits = Limits {
            blkio_weight: Some(500),
            throttles: vec![throttle],
            memory_swappiness: Some(0),
            memory_reservation: Some(4096),
            ..Limits::default()
        };
        assert_eq!(
            written(&limits, Version::Two),
            ["memory.low=4096", "io.weight=default 4950", "io.max=8:0 wbps=1024"]
        );
        let older = [
            "memory.soft_limit_in_bytes=4096",
            "memory.swappiness=0",
            "blkio.bfq.weight=500",
            "blkio.throttle.write_bps_device=8:0 1024",
        ];
        assert_eq!(written(&limits, Version::One), older);
        assert_eq!(limits.controllers(), [Controller::Memory, Controller::Io]);
    }
}
