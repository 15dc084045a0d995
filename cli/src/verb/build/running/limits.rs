//! Limits of RUN: `--ulimit`, `--shm-size`, and those of control groups.

use builder::Cgroup;
use runtime::cgroup::Limits;
use runtime::container::{Rlimit, limit};

use crate::error::{Error, Result};
use crate::limit::{list, size, swap};

/// Options about limits.
#[derive(Debug, clap::Args)]
pub(super) struct LimitArgs {
    /// A resource limit of RUN, such as nofile=1024:2048 (may be repeated)
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]")]
    ulimits: Vec<String>,
    /// The size of /dev/shm of RUN
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// Memory of each RUN
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Memory and swap of each RUN together; -1 for no limit
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Weight of RUN among others at the processors; everybody's is 1024
    #[arg(short, long, value_name = "N")]
    cpu_shares: Option<u64>,
    /// Microseconds of the period that --cpu-quota is about
    #[arg(long, value_name = "N")]
    cpu_period: Option<u64>,
    /// Microseconds of processor time of each RUN in a period
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Processors of RUN, such as 0-2,4
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes of RUN
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// The control group in which those of RUNs are made
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
}

impl LimitArgs {
    /// Resource limits.
    pub(super) fn rlimits(&self) -> Result<Vec<Rlimit>> {
        self.ulimits.iter().map(|written| rlimit(written)).collect()
    }

    /// Bytes of shared memory.
    pub(super) fn shm_size(&self) -> Result<Option<u64>> {
        size("--shm-size", self.shm_size.as_deref())
    }

    /// Limits by control groups; `None` where nothing asks for one.
    pub(super) fn cgroup(&self) -> Result<Option<Cgroup>> {
        let memory = size("--memory", self.memory.as_deref())?.filter(|bytes| *bytes > 0);
        let limits = Limits {
            memory,
            memory_swap: swap(self.memory_swap.as_deref(), memory)?,
            cpu_shares: self.cpu_shares.filter(|shares| *shares > 0),
            cpu_period: self.cpu_period.filter(|period| *period > 0),
            cpu_quota: self.cpu_quota.and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota > 0),
            cpuset_cpus: list("--cpuset-cpus", self.cpuset_cpus.as_deref())?,
            cpuset_mems: list("--cpuset-mems", self.cpuset_mems.as_deref())?,
            ..Limits::default()
        };
        let parent = self.cgroup_parent.clone().filter(|parent| !parent.is_empty());
        if parent.as_deref().is_some_and(|parent| parent.split('/').any(|part| part == "..")) {
            return Err(Error::usage("--cgroup-parent: a path from the root of all groups, without `..`"));
        }
        if limits.is_empty() && parent.is_none() {
            return Ok(None);
        }
        Ok(Some(Cgroup { parent, limits }))
    }
}

/// One `--ulimit`.
pub(in crate::verb) fn rlimit(written: &str) -> Result<Rlimit> {
    let wrong = |why: &str| Error::usage(format!("--ulimit {written}: {why}"));
    let (name, values) = written.split_once('=').ok_or_else(|| wrong("expected NAME=SOFT[:HARD]"))?;
    if !limit::is_known(name) {
        return Err(wrong("no such limit").hint("as in nofile, nproc, core, memlock, stack, fsize, cpu"));
    }
    let value = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong(&format!("`{text}` is no number"))),
    };
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (value(soft)?, value(hard)?),
        None => (value(values)?, value(values)?),
    };
    if hard.is_some_and(|hard: u64| soft.is_none_or(|soft| soft > hard)) {
        return Err(wrong("the soft limit is above the hard one"));
    }
    Ok(Rlimit { name: name.to_owned(), soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulimits_as_docker_writes_them() {
        let both = |written: &str| rlimit(written).map(|limit| (limit.soft, limit.hard));
        assert_eq!(both("nofile=10:20").unwrap(), (Some(10), Some(20)));
        assert_eq!(both("core=0").unwrap(), (Some(0), Some(0)));
        assert_eq!(both("memlock=-1:-1").unwrap(), (None, None));
        assert_eq!(both("nproc=5:unlimited").unwrap(), (Some(5), None));
        for bad in ["nofile", "nofiles=1", "nofile=x", "nofile=2:1", "nofile=-1:5", "nofile="] {
            assert!(both(bad).is_err(), "{bad}");
        }
    }
}
