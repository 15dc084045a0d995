//! Limits.

use std::fs;

use runtime::cgroup::{Limits, NoPlace, Place, UNLIMITED, Wanted};
use runtime::container::{Spec, limit};

use crate::Config;
use crate::config::Groups;

/// Processes and threads of a container that nobody limited: docker has no limit, podman 2,048; build tools and Java servers
/// stay below this, and a program that forks without end does not take the machine with it.
pub const DEFAULT_PIDS: u64 = 4096;

pub(super) fn apply(config: &Config, spec: &mut Spec) {
    spec.rlimits.clone_from(&config.resources.rlimits);
    spec.oom_score_adj = config.resources.oom_score_adj;
}

/// What of its limits and of its preference in want of memory the container does not get, for the user. To be called in the
/// container's supervisor, whose children the container's processes are.
pub fn unmet(config: &Config) -> Vec<String> {
    let mut notes = limit::refused(&config.resources.rlimits);
    if let Some(wanted) = config.resources.oom_score_adj
        && !may_have(wanted)
    {
        notes.push(format!("--oom-score-adj {wanted} is not set: only root makes it less"));
    }
    notes
}

/// Whether this process may have the adjustment; it keeps its own.
fn may_have(oom_score_adj: i32) -> bool {
    let Ok(own) = fs::read_to_string(OOM_SCORE_ADJ) else { return false };
    let may = fs::write(OOM_SCORE_ADJ, oom_score_adj.to_string()).is_ok();
    // What it was is what it may be again.
    may && fs::write(OOM_SCORE_ADJ, own.trim()).is_ok()
}

/// How gladly the kernel kills this process when memory is short.
const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

/// How hard a group is worth trying for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Only where it costs next to nothing: what runs in the foreground and is gone afterwards.
    Cheap,
    /// The service manager may be asked, too.
    Full,
}

/// Finds the place of the container's group: for [`Spec::cgroup`], and a note for the user where something that he asked for
/// is not to be had. To be called in the container's supervisor, at each start: that process may be moved.
pub fn place(config: &Config, effort: Effort) -> (Option<Place>, Option<String>) {
    let asked = &config.resources;
    if asked.groups == Groups::Disabled {
        let note = (!asked.limits.is_empty()).then(|| "limits do not hold: --cgroups=disabled".to_owned());
        return (None, note);
    }
    let limits = with_defaults(&asked.limits);
    let wanted = Wanted {
        limits: &limits,
        parent: asked.parent.as_deref(),
        name: config.id.as_str(),
        split: asked.groups == Groups::Split,
        ask: effort == Effort::Full || !asked.limits.is_empty() || asked.parent.is_some(),
    };
    match Place::of_container(&wanted) {
        Ok(mut found) => {
            let lost = lost(&asked.limits, &found.lost);
            let note = (!lost.is_empty()).then(|| note(&lost.join(", "), found.why.take().as_ref()));
            let older = found.place.is_newer().then(|| only_older(&asked.limits)).flatten();
            (Some(found.place), note.or(older))
        }
        Err(why) => {
            let all = lost(&asked.limits, &["cpu", "cpuset", "memory", "pids", "io"]);
            let is_asked = !all.is_empty() || asked.parent.is_some() || asked.groups == Groups::Split;
            let what = if all.is_empty() { "--cgroup-parent".to_owned() } else { all.join(", ") };
            (None, is_asked.then(|| note(&what, Some(&why))))
        }
    }
}

fn with_defaults(asked: &Limits) -> Limits {
    let mut limits = asked.clone();
    limits.pids = match limits.pids {
        None => Some(DEFAULT_PIDS),
        Some(UNLIMITED) => None,
        some => some,
    };
    limits
}

/// The options whose controllers are lacking.
fn lost(asked: &Limits, controllers: &[&str]) -> Vec<&'static str> {
    let options = [
        ("memory", asked.memory.is_some(), "--memory"),
        ("memory", asked.memory_swap.is_some(), "--memory-swap"),
        ("memory", asked.memory_reservation.is_some(), "--memory-reservation"),
        ("memory", asked.memory_swappiness.is_some(), "--memory-swappiness"),
        ("memory", asked.oom_kill_disable, "--oom-kill-disable"),
        ("cpu", asked.cpu_shares.is_some(), "--cpu-shares"),
        ("cpu", asked.cpu_quota.is_some() || asked.cpu_period.is_some(), "--cpus"),
        ("cpuset", asked.cpuset_cpus.is_some(), "--cpuset-cpus"),
        ("cpuset", asked.cpuset_mems.is_some(), "--cpuset-mems"),
        ("pids", asked.pids.is_some(), "--pids-limit"),
        ("io", asked.blkio_weight.is_some(), "--blkio-weight"),
        ("io", !asked.throttles.is_empty(), "--device-read-bps and its like"),
    ];
    let is_lost = |name: &str| controllers.contains(&name) || (name == "io" && controllers.contains(&"blkio"));
    options.into_iter().filter(|(name, is_asked, _)| *is_asked && is_lost(name)).map(|(_, _, option)| option).collect()
}

fn only_older(asked: &Limits) -> Option<String> {
    let option = match (asked.memory_swappiness.is_some(), asked.oom_kill_disable) {
        (false, false) => return None,
        (true, false) => "--memory-swappiness does",
        (false, true) => "--oom-kill-disable does",
        (true, true) => "--memory-swappiness and --oom-kill-disable do",
    };
    Some(format!("{option} nothing here: only control groups of version 1 have it, and these are of version 2"))
}

fn note(what: &str, why: Option<&NoPlace>) -> String {
    match why {
        Some(why) => format!("{what} cannot be obeyed: {why}. To have it: {}", why.remedy()),
        None => format!(
            "{what} cannot be obeyed: the controller is not handed down to you. To have it, let root write `[Service]` and \
             `Delegate=cpu cpuset io memory pids` to /etc/systemd/system/user@.service.d/delegate.conf, and log in again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_by_its_option() {
        let asked = Limits { memory: Some(1 << 30), cpuset_cpus: Some("0".to_owned()), ..Limits::default() };
        assert_eq!(lost(&asked, &["cpuset"]), ["--cpuset-cpus"]);
        assert_eq!(lost(&asked, &["cpuset", "memory", "pids"]), ["--memory", "--cpuset-cpus"]);
        assert!(note("--cpuset-cpus", None).contains("Delegate="));
        assert!(note("--memory", Some(&NoPlace::NotMounted)).contains("mount -t cgroup2"));
    }

    #[test]
    fn forks_are_bounded_unless_asked_otherwise() {
        assert_eq!(with_defaults(&Limits::default()).pids, Some(DEFAULT_PIDS));
        assert_eq!(with_defaults(&Limits { pids: Some(UNLIMITED), ..Limits::default() }).pids, None);
        assert_eq!(with_defaults(&Limits { pids: Some(9), ..Limits::default() }).pids, Some(9));
    }
}
