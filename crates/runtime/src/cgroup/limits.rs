//! What is limited, in docker's words.

use serde::{Deserialize, Serialize};

/// No limit, where a limit is a number: `--pids-limit -1`.
pub const UNLIMITED: u64 = u64::MAX;

/// Limits of a group; what is absent is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together; -1 is no limit; absent, it is twice the memory.
    pub memory_swap: Option<i64>,
    /// Bytes of memory that it is left with when memory is scarce.
    pub memory_reservation: Option<u64>,
    /// How soon its memory is swapped, 0 to 100. The older version only.
    pub memory_swappiness: Option<u64>,
    /// Whether its processes wait for memory instead of being killed. The older version only.
    pub oom_kill_disable: bool,
    /// Weight among others: 1024 is everybody's.
    pub cpu_shares: Option<u64>,
    /// Microseconds of a scheduler's period.
    pub cpu_period: Option<u64>,
    /// Microseconds of processor time in a period; [`UNLIMITED`] takes a limit away.
    pub cpu_quota: Option<u64>,
    /// Processors, as `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, as `0-1`.
    pub cpuset_mems: Option<String>,
    /// Processes and threads; [`UNLIMITED`] is no limit, where one would be set otherwise.
    pub pids: Option<u64>,
    /// Weight among others at block devices, 10 to 1000: 500 is everybody's.
    pub blkio_weight: Option<u64>,
    /// Rates of block devices.
    pub throttles: Vec<Throttle>,
}

/// How fast a block device is for a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// Its number, as `8:0`.
    pub device: String,
    /// What is counted.
    pub what: Rate,
    /// So much a second.
    pub rate: u64,
}

/// What is counted at a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// Bytes read.
    ReadBytes,
    /// Bytes written.
    WriteBytes,
    /// Reads.
    Reads,
    /// Writes.
    Writes,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, with what `other` limits instead of what they do.
    #[must_use]
    pub fn changed_by(&self, other: &Self) -> Self {
        let mut all = self.clone();
        let number = |mine: &mut Option<u64>, theirs: Option<u64>| *mine = theirs.or(*mine);
        number(&mut all.memory, other.memory);
        all.memory_swap = other.memory_swap.or(all.memory_swap);
        number(&mut all.memory_reservation, other.memory_reservation);
        number(&mut all.memory_swappiness, other.memory_swappiness);
        all.oom_kill_disable |= other.oom_kill_disable;
        number(&mut all.cpu_shares, other.cpu_shares);
        number(&mut all.cpu_period, other.cpu_period);
        number(&mut all.cpu_quota, other.cpu_quota);
        all.cpuset_cpus = other.cpuset_cpus.clone().or(all.cpuset_cpus);
        all.cpuset_mems = other.cpuset_mems.clone().or(all.cpuset_mems);
        number(&mut all.pids, other.pids);
        number(&mut all.blkio_weight, other.blkio_weight);
        for throttle in &other.throttles {
            all.throttles.retain(|known| (&known.device, known.what) != (&throttle.device, throttle.what));
            all.throttles.push(throttle.clone());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let throttle = |rate| Throttle { device: "8:0".to_owned(), what: Rate::Reads, rate };
        let before = Limits { memory: Some(1), pids: Some(2), throttles: vec![throttle(1)], ..Limits::default() };
        let change = Limits { memory: Some(3), throttles: vec![throttle(2)], ..Limits::default() };
        let after = before.changed_by(&change);
        assert_eq!(after, Limits { memory: Some(3), throttles: vec![throttle(2)], ..before });
    }
}
