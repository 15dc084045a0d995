//! Limits of RUN: `--ulimit`, `--shm-size`, and those of control groups.

use builder::Cgroup;
use runtime::container::{Rlimit, limit};

use crate::error::{Error, Result};
use crate::limit::{GroupLimits, parent, size};

/// Options about limits.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits of each RUN")]
pub(super) struct LimitArgs {
    /// A resource limit, such as nofile=1024:2048 (may be repeated)
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]")]
    ulimits: Vec<String>,
    /// The size of /dev/shm
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    #[command(flatten)]
    limits: GroupLimits,
    /// The control group in which theirs are made
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
        let limits = self.limits.settle()?;
        let parent = parent(self.cgroup_parent.as_deref())?;
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
