//! What is another container's: its processes, messages, names, users.

use std::os::fd::OwnedFd;

use runtime::container::{Namespace, Spec, Users};
use runtime::ladder::Rung;

use super::LaunchError;
use crate::config::{self, Share};
use crate::{Config, Container};

/// Puts the processes whose namespaces are shared into `files`, and says so in `spec`; `find` gives a container by its id.
///
/// # Errors
/// A container that does not run, or is not there.
pub fn share(
    config: &Config,
    rung: &Rung,
    spec: &mut Spec,
    files: &mut Vec<OwnedFd>,
    find: impl Fn(&str) -> Option<Container>,
) -> Result<(), LaunchError> {
    let isolation = &config.isolation;
    let of = &mut spec.boundary.namespaces;
    let kinds = [
        (&isolation.pid, &mut of.pid),
        (&isolation.ipc, &mut of.ipc),
        (&isolation.uts, &mut of.uts),
        (&isolation.cgroup, &mut of.cgroup),
    ];
    for (share, namespace) in kinds {
        if let Share::Container(id) = share {
            let (_, process) = lender(id, &find)?;
            *namespace = Namespace::Joined { index: files.len() };
            files.push(process);
        }
    }
    if let config::Users::Container(id) = &isolation.users {
        let (lender, process) = lender(id, &find)?;
        // Where it has no users of its own, the namespace that it was started in is ours by now.
        if let Users::Own { uids, gids } = super::users::users(&lender.config.isolation.users, rung)? {
            spec.boundary.users = Users::Joined { index: files.len(), uids, gids };
            files.push(process);
        }
    }
    Ok(())
}

/// The container, and its program's process.
fn lender(id: &str, find: &impl Fn(&str) -> Option<Container>) -> Result<(Container, OwnedFd), LaunchError> {
    let stopped = || LaunchError::NotRunning(id.to_owned());
    let lender = find(id).ok_or_else(stopped)?;
    let init = lender.state.init.ok_or_else(stopped)?;
    let process = init.open().ok_or_else(stopped)?;
    // Ours stays in front of the program: who has users of its own is behind it.
    let ours = lender.config.process.init || lender.config.isolation.pid != Share::Own;
    let program = if ours { first_child_of(init.pid) } else { None };
    Ok((lender, program.unwrap_or(process)))
}

/// The first child of a process. Its number could have become another's until it is open, but not from then on.
fn first_child_of(init: i32) -> Option<OwnedFd> {
    let child = children(init).into_iter().next()?;
    let pid = rustix::process::Pid::from_raw(child)?;
    let opened = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
    children(init).contains(&child).then_some(opened)
}

fn children(pid: i32) -> Vec<i32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// A process of the user namespace that a container with these shares is started in, if it is not one of its own: the supervisor of
/// the first lender.
#[must_use]
pub fn surroundings(config: &Config, find: impl Fn(&str) -> Option<Container>) -> Option<OwnedFd> {
    let network = match &config.network.mode {
        config::NetworkMode::Container(id) => Some(id.as_str()),
        _ => None,
    };
    let id = config.isolation.shared().chain(network).next()?;
    find(id)?.state.supervisor?.open()
}
