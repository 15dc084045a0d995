//! The group in which groups of containers are made.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::limits::Limits;
use super::mounts::{self, Hierarchy};
use super::settings::{Controller, Version};
use super::systemd::SystemdError;
use super::unified;

/// Our folder among the groups.
pub(super) const OURS: &str = "estiba";

/// Where groups of containers can be made, and what limits each gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub(super) version: Version,
    /// A folder a controller; one for all of them in the newer version.
    pub(super) folders: Vec<(Controller, PathBuf)>,
    pub(crate) limits: Limits,
    /// What the group is called; `None` where any name serves.
    pub(super) name: Option<String>,
}

/// What a container's group is to be.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its limits.
    pub limits: &'a Limits,
    /// Where: a path from the root of all groups, or a slice of the service manager's (`x.slice`).
    pub parent: Option<&'a str>,
    /// What it is called; no other container has the name.
    pub name: &'a str,
    /// Whether it is made in the group that we are in, whatever else there is.
    pub split: bool,
    /// Whether it is worth some milliseconds: asking the service manager, or moving a process in the older version.
    pub ask: bool,
}

/// A place, and what could not be had there.
#[derive(Debug)]
pub struct Found {
    /// The place.
    pub place: Place,
    /// Controllers that limits need and that are not ours there: these limits do not hold.
    pub lost: Vec<&'static str>,
    /// Why, where the kernel or the service manager said so.
    pub why: Option<NoPlace>,
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub enum NoPlace {
    /// The kernel, or whoever mounted its files, does not have it.
    #[error("this machine has no control groups for {0}")]
    NoController(&'static str),
    /// There are none at all.
    #[error("no control groups are mounted here")]
    NotMounted,
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
    /// Nobody needs one so much.
    #[error("a control group of version 1 costs a folder in each of its hierarchies, and no limit was asked for")]
    NotWorth,
    /// The older version has no groups for ordinary users.
    #[error("control groups are of version 1 here, in which only root makes groups ({0})")]
    Older(Box<NoPlace>),
    /// The group that we are in does not run empty, so that none can be made in it.
    #[error("{path} has {others} processes that come faster than they can be moved")]
    Crowded {
        /// The group.
        path: PathBuf,
        /// How many.
        others: usize,
    },
    /// Neither ourselves nor by the service manager.
    #[error("{own}; {asked}")]
    Asked {
        /// Why not ourselves.
        own: Box<NoPlace>,
        /// What the service manager said.
        asked: SystemdError,
    },
}

impl NoPlace {
    pub(super) fn refused(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |why| Self::Refused { call, path, why }
    }

    /// How there would be a place.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoController(_) => "the kernel needs it, and its command line may switch it off (cgroup_disable=)",
            Self::NotMounted => "mount them: `mount -t cgroup2 none /sys/fs/cgroup`",
            Self::NotWorth => "give a limit",
            Self::Older(_) => "boot with `systemd.unified_cgroup_hierarchy=1`, or run as root",
            Self::Crowded { .. } => "run under `systemd-run --user --scope -p Delegate=yes`",
            Self::Refused { .. } => {
                "log in by PAM, or let root run `loginctl enable-linger USER`, so that a service manager of yours makes \
                 them; or let root hand a group over: `chown -R USER /sys/fs/cgroup/GROUP`, with your shell in it"
            }
            Self::Asked { asked, .. } => asked.remedy(),
        }
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
        let has_all = |found: &&Hierarchy| found.version == Version::Two && unified::has_all(found, &wanted);
        let (version, folders): (_, Vec<(Controller, PathBuf)>) = match all.iter().find(has_all) {
            Some(hierarchy) => {
                let folder = unified::folder(hierarchy, parent);
                std::fs::create_dir_all(&folder).map_err(NoPlace::refused("mkdir", &folder))?;
                unified::hand_down_all(hierarchy, &folder, &wanted)?;
                let controllers = if wanted.is_empty() { vec![Controller::Pids] } else { wanted };
                (Version::Two, controllers.into_iter().map(|controller| (controller, folder.clone())).collect())
            }
            None => {
                let one = |controller| older_folder(&all, parent, controller);
                (Version::One, wanted.into_iter().map(one).collect::<Result<_, _>>()?)
            }
        };
        check_writable(&folders)?;
        Ok(Self { version, folders, limits: limits.clone(), name: None })
    }

    /// Whether it is of the newer version.
    pub fn is_newer(&self) -> bool {
        self.version == Version::Two
    }

    /// Finds the place of a container that lives by itself. To be called by the process that starts it and stays with it:
    /// that process may be moved into another group.
    ///
    /// # Errors
    /// Why there is none.
    pub fn of_container(wanted: &Wanted<'_>) -> Result<Found, NoPlace> {
        let all = mounts::hierarchies();
        match all.iter().find(|found| found.version == Version::Two && counts(found, &all)) {
            Some(hierarchy) => unified::place(hierarchy, wanted),
            // A folder a hierarchy is made and removed, while all others of the machine wait who make one.
            None if !wanted.ask => Err(NoPlace::NotWorth),
            None => older_place(&all, wanted),
        }
    }

    /// What is left of a container's groups where nobody wrote down where they were: nothing is there when nothing is left.
    pub fn leftovers(name: &str) -> super::Group {
        let all = mounts::hierarchies();
        let places = all.iter().flat_map(|found| [found.own.join(OURS), found.mount.join(OURS), found.own.clone()]);
        let mut folders: Vec<PathBuf> = places.map(|place| place.join(name)).filter(|path| path.exists()).collect();
        folders.sort();
        folders.dedup();
        super::Group::at(folders)
    }
}

/// Whether the newer version is the one that counts: in a mix of both the older one has the controllers.
pub(super) fn counts(unified: &Hierarchy, all: &[Hierarchy]) -> bool {
    let older = |name: &str| all.iter().any(|found| found.controllers.iter().any(|has| has == name));
    !["memory", "pids", "cpu", "freezer"].into_iter().any(older) || unified::has_all(unified, &[Controller::Memory])
}

/// Both are needed later, and then it is too late to go on without.
pub(super) fn check_writable(folders: &[(Controller, PathBuf)]) -> Result<(), NoPlace> {
    for (_, folder) in folders {
        for path in [folder.clone(), folder.join("cgroup.procs")] {
            let refused = |errno: rustix::io::Errno| NoPlace::refused("write", &path)(errno.into());
            rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).map_err(refused)?;
        }
    }
    Ok(())
}

/// What every container's group has in the older version, where there is it: to be counted, stopped, and bounded.
const OLDER_WELCOME: [Controller; 5] =
    [Controller::Memory, Controller::Cpu, Controller::Cpuacct, Controller::Pids, Controller::Freezer];

/// The older version: a hierarchy for each controller.
fn older_place(all: &[Hierarchy], wanted: &Wanted<'_>) -> Result<Found, NoPlace> {
    let needed = wanted.limits.controllers();
    let mut controllers = needed.clone();
    controllers.extend(OLDER_WELCOME.into_iter().filter(|controller| !needed.contains(controller)));
    let (mut folders, mut lost, mut why) = (Vec::new(), Vec::new(), None);
    for controller in controllers {
        let found = older_folder(all, wanted.parent, controller)
            .and_then(|found| check_writable(std::slice::from_ref(&found)).map(|()| found));
        match found {
            Ok(found) => folders.push(found),
            Err(error) => {
                lost.extend(needed.contains(&controller).then(|| controller.name(Version::One)));
                why = why.or(Some(error));
            }
        }
    }
    if folders.is_empty() {
        let why = why.unwrap_or(NoPlace::NotMounted);
        return Err(if all.is_empty() { NoPlace::NotMounted } else { NoPlace::Older(Box::new(why)) });
    }
    let name = Some(wanted.name.to_owned());
    let place = Place { version: Version::One, folders, limits: wanted.limits.clone(), name };
    Ok(Found { place, lost, why })
}

/// The hierarchy of the older version that has a controller takes groups beside processes.
fn older_folder(
    all: &[Hierarchy],
    parent: Option<&str>,
    controller: Controller,
) -> Result<(Controller, PathBuf), NoPlace> {
    let name = controller.name(Version::One);
    let is_it = |found: &&Hierarchy| found.controllers.iter().any(|has| has == name);
    let found = all.iter().find(is_it).ok_or(NoPlace::NoController(name))?;
    let folder = parent.map_or_else(|| found.own.join(OURS), |parent| mounts::join(&found.mount, parent));
    std::fs::create_dir_all(&folder).map_err(NoPlace::refused("mkdir", &folder))?;
    if controller == Controller::Cpuset {
        inherit_cpuset(&found.mount, &folder)?;
    }
    Ok((controller, folder))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_or_said_why_not() {
        let limits = Limits { memory: Some(64 << 20), ..Limits::default() };
        match Place::find(None, &limits) {
            Ok(place) => assert_eq!(place.folders[0].0, Controller::Memory),
            Err(error) => assert!(!error.to_string().is_empty() && !error.remedy().is_empty()),
        }
        let wanted = Wanted { limits: &limits, parent: None, name: "a-test", split: false, ask: true };
        match Place::of_container(&wanted) {
            Ok(found) => assert_eq!(found.place.name.as_deref(), Some("a-test")),
            Err(error) => assert!(!error.to_string().is_empty() && !error.remedy().is_empty()),
        }
        assert!(Place::leftovers("nobody-has-this-name").is_none());
    }
}
