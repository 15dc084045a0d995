//! How much it may take.

use containers::config::{Groups, Resources};
use runtime::cgroup::{Limits, Rate, UNLIMITED};

use crate::error::{Error, Result};
use crate::limit::{self, GroupLimits};

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
    #[command(flatten)]
    group: GroupLimits,
    /// Memory that it keeps when there is little
    #[arg(long, value_name = "SIZE")]
    memory_reservation: Option<String>,
    /// Processors, such as 1.5
    #[arg(long, value_name = "N")]
    cpus: Option<String>,
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
        Ok(Resources {
            limits,
            parent: limit::parent(self.cgroup_parent.as_deref())?,
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
        let mut limits = self.group.settle()?;
        let reservation = limit::size("--memory-reservation", self.memory_reservation.as_deref())?;
        if let (Some(reservation), Some(memory)) = (reservation, limits.memory)
            && reservation > memory
        {
            return Err(Error::usage("--memory-reservation is more than --memory, and is a part of it"));
        }
        if let Some(written) = &self.cpus {
            if limits.cpu_period.is_some() || limits.cpu_quota.is_some() {
                return Err(Error::usage("--cpus is --cpu-quota with a period of its own: give one or the other"));
            }
            limits.cpu_period = Some(PERIOD);
            limits.cpu_quota = Some(limit::processors(written)?);
        }
        let pids = self.pids_limit.map(|pids| match u64::try_from(pids) {
            Ok(0) | Err(_) => UNLIMITED,
            Ok(pids) => pids,
        });
        if let Some(weight) = self.blkio_weight.filter(|weight| *weight != 0 && !(10..=1000).contains(weight)) {
            return Err(Error::usage(format!("--blkio-weight {weight}: expected 10 to 1000")));
        }
        Ok(Limits {
            memory_reservation: reservation.filter(|bytes| *bytes > 0),
            pids,
            blkio_weight: self.blkio_weight.filter(|weight| *weight > 0),
            ..limits
        })
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
    use clap::{Args as _, FromArgMatches as _};

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
        assert!(limits(|options| options.blkio_weight = Some(5)).is_err());
        // Options parsed as they are written, for those of all groups.
        for words in [&["--cpus=1", "--cpu-quota=50000"][..], &["--memory=8m", "--memory-reservation=9m"]] {
            let command = LimitOptions::augment_args(clap::Command::new("run").no_binary_name(true));
            let matches = command.try_get_matches_from(words).unwrap();
            assert!(LimitOptions::from_arg_matches(&matches).unwrap().settle().is_err(), "{words:?}");
        }
    }
}
