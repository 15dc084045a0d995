//! How much it may take.

use containers::config::{Groups, Resources};
use runtime::cgroup::{Limits, Rate, UNLIMITED};

use crate::error::{Error, Result};
use crate::limit;

/// How much it may take.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    devices: DeviceOptions,
    /// Swap its memory early (100) or late (0); control groups of version 1 only
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    memory_swappiness: Option<i64>,
    /// Let it wait for memory instead of killing it; control groups of version 1 only
    #[arg(long)]
    oom_kill_disable: bool,
    /// The kernel's preference to kill it first, -1000 to 1000
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    oom_score_adj: Option<i32>,
    /// Where its control group is made: a path from the root of all groups, or a slice of systemd's
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// Its control group: enabled, disabled, or split: within the group that estiba is in (for units of systemd)
    #[arg(long, value_name = "HOW", default_value = "enabled", hide_default_value = true)]
    cgroups: String,
}

/// Limits that `update` changes, too.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct LimitOptions {
    /// Memory
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Memory and swap together; -1 for no limit
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Memory that it keeps when there is little
    #[arg(long, value_name = "SIZE")]
    memory_reservation: Option<String>,
    /// Processors, such as 1.5
    #[arg(long, value_name = "N")]
    cpus: Option<String>,
    /// Weight among others at the processors; everybody's is 1024
    #[arg(short, long, value_name = "N")]
    cpu_shares: Option<u64>,
    /// Microseconds of the period that --cpu-quota is about
    #[arg(long, value_name = "N")]
    cpu_period: Option<u64>,
    /// Microseconds of processor time in a period; -1 for no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Which processors, such as 0-2,4
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Which memory nodes
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Processes and threads; -1 for no limit [default: 4096]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Weight among others at block devices, 10 to 1000
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u64>,
}

/// Rates of block devices.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct DeviceOptions {
    /// Bytes a second read from a device (may be repeated)
    #[arg(long, value_name = "DEVICE:SIZE")]
    device_read_bps: Vec<String>,
    /// Bytes a second written to a device (may be repeated)
    #[arg(long, value_name = "DEVICE:SIZE")]
    device_write_bps: Vec<String>,
    /// Reads a second of a device (may be repeated)
    #[arg(long, value_name = "DEVICE:N")]
    device_read_iops: Vec<String>,
    /// Writes a second of a device (may be repeated)
    #[arg(long, value_name = "DEVICE:N")]
    device_write_iops: Vec<String>,
}

/// The least memory that docker gives.
const MIN_MEMORY: u64 = 6 << 20;

impl Options {
    pub(super) fn settle(&self) -> Result<Resources> {
        let mut limits = self.limits.settle()?;
        limits.throttles = self.devices.settle()?;
        // -1 is the kernel's own, as docker has it.
        limits.memory_swappiness = match self.memory_swappiness {
            None | Some(-1) => None,
            Some(value @ 0..=100) => u64::try_from(value).ok(),
            Some(value) => return Err(Error::usage(format!("--memory-swappiness {value}: expected 0 to 100"))),
        };
        limits.oom_kill_disable = self.oom_kill_disable;
        if let Some(value) = self.oom_score_adj.filter(|value| !(-1000..=1000).contains(value)) {
            return Err(Error::usage(format!("--oom-score-adj {value}: expected -1000 to 1000")));
        }
        let parent = self.cgroup_parent.clone().filter(|parent| !parent.is_empty());
        if parent.as_deref().is_some_and(|parent| parent.split('/').any(|part| part == "..")) {
            return Err(Error::usage("--cgroup-parent: a path from the root of all groups, without `..`"));
        }
        Ok(Resources {
            limits,
            parent,
            groups: self.groups()?,
            oom_score_adj: self.oom_score_adj,
            ..Resources::default()
        })
    }

    fn groups(&self) -> Result<Groups> {
        match self.cgroups.as_str() {
            // What is left out of podman's group with `no-conmon` is its monitor; ours is never in it.
            "enabled" | "no-conmon" => Ok(Groups::Enabled),
            "disabled" => Ok(Groups::Disabled),
            "split" => Ok(Groups::Split),
            other => Err(Error::usage(format!("--cgroups {other}: expected enabled, disabled or split"))),
        }
    }
}

impl LimitOptions {
    /// The limits that are named.
    pub(in crate::verb) fn settle(&self) -> Result<Limits> {
        let memory = limit::size("--memory", self.memory.as_deref())?.filter(|bytes| *bytes > 0);
        if let Some(bytes) = memory.filter(|bytes| *bytes < MIN_MEMORY) {
            return Err(Error::usage(format!("--memory: {bytes} bytes are too few for any program: 6m is the least")));
        }
        let reservation = limit::size("--memory-reservation", self.memory_reservation.as_deref())?;
        if let (Some(reservation), Some(memory)) = (reservation, memory)
            && reservation > memory
        {
            return Err(Error::usage("--memory-reservation is more than --memory, and is a part of it"));
        }
        let (cpu_period, cpu_quota) = self.quota()?;
        let pids = self.pids_limit.map(|pids| match u64::try_from(pids) {
            Ok(0) | Err(_) => UNLIMITED,
            Ok(pids) => pids,
        });
        if let Some(weight) = self.blkio_weight.filter(|weight| *weight != 0 && !(10..=1000).contains(weight)) {
            return Err(Error::usage(format!("--blkio-weight {weight}: expected 10 to 1000")));
        }
        Ok(Limits {
            memory,
            memory_swap: limit::swap(self.memory_swap.as_deref(), memory)?,
            memory_reservation: reservation.filter(|bytes| *bytes > 0),
            cpu_shares: self.cpu_shares.filter(|shares| *shares > 0),
            cpu_period,
            cpu_quota,
            cpuset_cpus: limit::list("--cpuset-cpus", self.cpuset_cpus.as_deref())?,
            cpuset_mems: limit::list("--cpuset-mems", self.cpuset_mems.as_deref())?,
            pids,
            blkio_weight: self.blkio_weight.filter(|weight| *weight > 0),
            ..Limits::default()
        })
    }

    fn quota(&self) -> Result<(Option<u64>, Option<u64>)> {
        if let Some(written) = &self.cpus {
            if self.cpu_period.is_some() || self.cpu_quota.is_some() {
                return Err(Error::usage("--cpus is --cpu-quota with a period of its own: give one or the other"));
            }
            return Ok((Some(PERIOD), Some(limit::processors(written)?)));
        }
        if let Some(period) = self.cpu_period.filter(|period| *period != 0 && !(1000..=1_000_000).contains(period)) {
            return Err(Error::usage(format!("--cpu-period {period}: expected 1000 to 1000000 microseconds")));
        }
        let quota = match self.cpu_quota {
            None | Some(0) => None,
            Some(quota @ 1..1000) => {
                return Err(Error::usage(format!("--cpu-quota {quota}: 1000 microseconds are the least")));
            }
            Some(quota) => Some(u64::try_from(quota).unwrap_or(UNLIMITED)),
        };
        Ok((self.cpu_period.filter(|period| *period > 0), quota))
    }
}

/// docker's period of `--cpus`, in microseconds.
const PERIOD: u64 = 100_000;

impl DeviceOptions {
    fn settle(&self) -> Result<Vec<runtime::cgroup::Throttle>> {
        let all = [
            ("--device-read-bps", &self.device_read_bps, Rate::ReadBytes),
            ("--device-write-bps", &self.device_write_bps, Rate::WriteBytes),
            ("--device-read-iops", &self.device_read_iops, Rate::Reads),
            ("--device-write-iops", &self.device_write_iops, Rate::Writes),
        ];
        let one = |(option, written, what): (&'static str, &Vec<String>, Rate)| {
            written.iter().map(|text| limit::throttle(option, text, what)).collect::<Vec<_>>()
        };
        all.into_iter().flat_map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(change: impl FnOnce(&mut LimitOptions)) -> Result<Limits> {
        let mut options = LimitOptions::default();
        change(&mut options);
        options.settle()
    }

    #[test]
    fn limits_as_docker_writes_them() {
        assert!(limits(|_| {}).unwrap().is_empty());
        let cpus = limits(|options| options.cpus = Some("0.5".to_owned())).unwrap();
        assert_eq!((cpus.cpu_period, cpus.cpu_quota), (Some(100_000), Some(50_000)));
        let pids = |value| limits(|options| options.pids_limit = Some(value)).unwrap().pids;
        assert_eq!((pids(7), pids(-1), pids(0)), (Some(7), Some(UNLIMITED), Some(UNLIMITED)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let few = limits(|options| options.memory = Some("1m".to_owned())).unwrap_err();
        assert!(few.message().contains("6m"));
        assert!(limits(|options| options.blkio_weight = Some(5)).is_err());
        assert!(limits(|options| options.cpu_period = Some(5)).is_err());
        assert!(limits(|options| options.cpu_quota = Some(5)).is_err());
        let both = limits(|options| {
            options.cpus = Some("1".to_owned());
            options.cpu_quota = Some(50_000);
        });
        assert!(both.is_err());
        let more = limits(|options| {
            options.memory = Some("8m".to_owned());
            options.memory_reservation = Some("9m".to_owned());
        });
        assert!(more.is_err());
    }
}
