//! The group in which groups of containers are made.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::limits::{Controller, Limits, Version};
use super::mounts::{self, Hierarchy};

/// Our folder among the groups.
const OURS: &str = "estiba";
/// Where we go ourselves, when the group that we are in is to have others in it.
const LEAF: &str = "estiba-build";

/// Where groups of containers can be made, and what limits each gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub(super) version: Version,
    /// A folder a controller; one for all of them in the newer version.
    pub(super) folders: Vec<(Controller, PathBuf)>,
    pub(super) limits: Limits,
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub enum NoPlace {
    /// The kernel, or whoever mounted its files, does not have it.
    #[error("this machine has no control groups for {0}")]
    NoController(&'static str),
    /// A group is not ours.
    #[error("{call} {path}: {why}")]
    Refused {
        /// What was tried.
        call: &'static str,
        /// Where.
        path: PathBuf,
        /// The kernel's word.
        why: io::Error,
    },
    /// The group that we are in has others' processes, so that none can be made in it.
    #[error("{path} holds {others} processes besides ours")]
    Crowded {
        /// The group.
        path: PathBuf,
        /// How many.
        others: usize,
    },
}

impl NoPlace {
    fn refused(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |why| Self::Refused { call, path, why }
    }
}

impl Place {
    /// Finds it: below `parent` where that is given (a path from the root of all groups), else where we may.
    ///
    /// # Errors
    /// Why there is none.
    pub fn find(parent: Option<&str>, limits: &Limits) -> Result<Self, NoPlace> {
        let wanted = limits.controllers();
        let all = mounts::hierarchies();
        let unified = all.iter().find(|found| found.version == Version::Two && has_all(found, &wanted));
        let (version, folders) = match unified {
            Some(hierarchy) => {
                let folder = unified_folder(hierarchy, parent, &wanted)?;
                let controllers = if wanted.is_empty() { vec![Controller::Pids] } else { wanted };
                (Version::Two, controllers.into_iter().map(|controller| (controller, folder.clone())).collect())
            }
            None => (Version::One, older_folders(&all, parent, &wanted)?),
        };
        for (_, folder) in &folders {
            // Both are needed later, and then it is too late to go on without.
            for path in [folder.clone(), folder.join("cgroup.procs")] {
                let refused = |errno: rustix::io::Errno| NoPlace::refused("write", &path)(errno.into());
                rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).map_err(refused)?;
            }
        }
        Ok(Self { version, folders, limits: limits.clone() })
    }
}

fn words(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

fn has_all(unified: &Hierarchy, wanted: &[Controller]) -> bool {
    let has = words(&unified.mount.join("cgroup.controllers"));
    wanted.iter().all(|wanted| has.iter().any(|name| name == wanted.name()))
}

/// The older version: a hierarchy for each controller, which takes groups beside processes.
fn older_folders(
    all: &[Hierarchy],
    parent: Option<&str>,
    wanted: &[Controller],
) -> Result<Vec<(Controller, PathBuf)>, NoPlace> {
    let one = |controller: &Controller| {
        let is_it = |found: &&Hierarchy| found.controllers.iter().any(|name| name == controller.name());
        let found = all.iter().find(is_it).ok_or(NoPlace::NoController(controller.name()))?;
        let folder = parent.map_or_else(|| found.own.join(OURS), |parent| mounts::join(&found.mount, parent));
        std::fs::create_dir_all(&folder).map_err(NoPlace::refused("mkdir", &folder))?;
        if *controller == Controller::Cpuset {
            inherit_cpuset(&found.mount, &folder)?;
        }
        Ok((*controller, folder))
    };
    wanted.iter().map(one).collect()
}

/// A new group of the older version has no processor until it is told which.
fn inherit_cpuset(mount: &Path, folder: &Path) -> Result<(), NoPlace> {
    let mut below: Vec<&Path> =
        folder.ancestors().take_while(|path| path.starts_with(mount) && *path != mount).collect();
    below.reverse();
    for path in below {
        super::group::copy_cpuset(path).map_err(NoPlace::refused("write cpuset of", path))?;
    }
    Ok(())
}

/// The newer version: the controllers are handed down from the root to the folder.
fn unified_folder(found: &Hierarchy, parent: Option<&str>, wanted: &[Controller]) -> Result<PathBuf, NoPlace> {
    let folder = match parent {
        Some(parent) => mounts::join(&found.mount, parent),
        // Who owns all groups need not ask the one that he happens to be in.
        None if is_writable(&found.mount.join("cgroup.subtree_control")) => found.mount.join(OURS),
        None => found.own.clone(),
    };
    std::fs::create_dir_all(&folder).map_err(NoPlace::refused("mkdir", &folder))?;
    let mut path = found.mount.clone();
    hand_down(&path, found, wanted)?;
    for part in folder.strip_prefix(&found.mount).unwrap_or(Path::new("")) {
        path.push(part);
        hand_down(&path, found, wanted)?;
    }
    Ok(folder)
}

fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

fn hand_down(path: &Path, found: &Hierarchy, wanted: &[Controller]) -> Result<(), NoPlace> {
    let control = path.join("cgroup.subtree_control");
    let has = words(&control);
    let lacking: Vec<String> = wanted
        .iter()
        .filter(|wanted| has.iter().all(|name| name != wanted.name()))
        .map(|wanted| format!("+{}", wanted.name()))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let text = lacking.join(" ");
    match std::fs::write(&control, &text) {
        // A group with processes in it has no groups with controllers in it.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy && path == found.own => {
            step_aside(path)?;
            std::fs::write(&control, &text).map_err(NoPlace::refused("write", &control))
        }
        other => other.map_err(NoPlace::refused("write", &control)),
    }
}

/// Moves us and our children into a group of our own, if nobody else is here.
fn step_aside(path: &Path) -> Result<(), NoPlace> {
    let own = std::process::id();
    let processes: Vec<u32> = words(&path.join("cgroup.procs")).iter().filter_map(|word| word.parse().ok()).collect();
    let others = processes.iter().filter(|pid| **pid != own && parent_of(**pid) != Some(own)).count();
    if others > 0 {
        return Err(NoPlace::Crowded { path: path.to_path_buf(), others });
    }
    let leaf = path.join(LEAF);
    std::fs::create_dir_all(&leaf).map_err(NoPlace::refused("mkdir", &leaf))?;
    let file = leaf.join("cgroup.procs");
    for pid in processes {
        std::fs::write(&file, pid.to_string()).map_err(NoPlace::refused("write", &file))?;
    }
    Ok(())
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, a parenthesis too.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_or_said_why_not() {
        let limits = Limits { memory: Some(64 << 20), ..Limits::default() };
        match Place::find(None, &limits) {
            Ok(place) => assert_eq!(place.folders[0].0, Controller::Memory),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        assert_eq!(parent_of(std::process::id()), Some(std::os::unix::process::parent_id()));
    }
}
