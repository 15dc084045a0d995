//! The newer version: one tree, in which a group has either processes or groups with controllers.

use std::io;
use std::path::{Path, PathBuf};

use super::mounts::{self, Hierarchy};
use super::place::{Found, NoPlace, OURS, Place, Wanted, check_writable};
use super::settings::{Controller, Version};
use super::systemd;

/// Where we go ourselves, when the group that we are in is to have others in it.
const LEAF: &str = "supervisor";
/// The container's group beside it, in a unit that is one container's.
const PAYLOAD: &str = "container";

/// What every container's group has, where it is to be had: to be counted and bounded.
const WELCOME: [Controller; 4] = [Controller::Memory, Controller::Cpu, Controller::Pids, Controller::Io];

/// Whether the tree has all of these controllers.
pub(super) fn has_all(unified: &Hierarchy, wanted: &[Controller]) -> bool {
    let has = words(&unified.mount.join("cgroup.controllers"));
    wanted.iter().all(|wanted| has.iter().any(|name| name == wanted.name(Version::Two)))
}

/// The group that we may divide: not the leaf in it into which we went before.
fn own(found: &Hierarchy) -> PathBuf {
    match found.own.parent() {
        Some(parent) if found.own.ends_with(LEAF) && is_writable(&parent.join("cgroup.subtree_control")) => {
            parent.to_path_buf()
        }
        _ => found.own.clone(),
    }
}

/// Where groups are made by ourselves.
pub(super) fn folder(found: &Hierarchy, parent: Option<&str>) -> PathBuf {
    match parent {
        Some(parent) => mounts::join(&found.mount, parent),
        // Who owns all groups need not ask the one that he happens to be in.
        None if is_writable(&found.mount.join("cgroup.subtree_control")) => found.mount.join(OURS),
        None => own(found),
    }
}

/// Finds the place of a container's group.
pub(super) fn place(found: &Hierarchy, wanted: &Wanted<'_>) -> Result<Found, NoPlace> {
    let slice = wanted.parent.and_then(|parent| parent.rsplit('/').next()).filter(|last| last.ends_with(".slice"));
    if wanted.split {
        return fill(found, &own(found), wanted, wanted.name);
    }
    if let Some(slice) = slice.filter(|_| systemd::is_running()) {
        return in_scope(wanted, Some(slice), NoPlace::NotMounted);
    }
    if is_own_scope(found, wanted) {
        return fill(found, &own(found), wanted, PAYLOAD);
    }
    match fill(found, &folder(found, wanted.parent), wanted, wanted.name) {
        Ok(found) if found.lost.is_empty() || !wanted.ask || wanted.parent.is_some() => Ok(found),
        Ok(found) => in_scope(wanted, None, NoPlace::NotMounted).or(Ok(found)),
        Err(why) if wanted.ask && wanted.parent.is_none() => in_scope(wanted, None, why),
        Err(why) => Err(why),
    }
}

/// The unit of this container, where it was made by an earlier start.
fn is_own_scope(found: &Hierarchy, wanted: &Wanted<'_>) -> bool {
    own(found).file_name().is_some_and(|name| name == systemd::scope_name(wanted.name).as_str())
}

/// Asks the service manager for a unit with us in it.
fn in_scope(wanted: &Wanted<'_>, slice: Option<&str>, own_why: NoPlace) -> Result<Found, NoPlace> {
    let asked = |asked| match own_why {
        NoPlace::NotMounted => NoPlace::Asked { own: Box::new(NoPlace::NoController("it")), asked },
        own => NoPlace::Asked { own: Box::new(own), asked },
    };
    systemd::enter_scope(wanted.name, slice).map_err(asked)?;
    let all = mounts::hierarchies();
    let found = all.iter().find(|found| found.version == Version::Two).ok_or(NoPlace::NotMounted)?;
    fill(found, &own(found), wanted, PAYLOAD)
}

/// Makes a folder a place: hands the controllers down to it, as many as there are.
fn fill(found: &Hierarchy, folder: &Path, wanted: &Wanted<'_>, name: &str) -> Result<Found, NoPlace> {
    std::fs::create_dir_all(folder).map_err(NoPlace::refused("mkdir", folder))?;
    check_writable(&[(Controller::Pids, folder.to_path_buf())])?;
    let needed = wanted.limits.controllers();
    let mut all = needed.clone();
    all.extend(WELCOME.into_iter().filter(|controller| !needed.contains(controller)));
    let mut why = None;
    if hand_down_all(found, folder, &all).is_err() {
        for controller in &all {
            // One that is lacking must not take the others with it.
            if let Err(error) = hand_down_all(found, folder, &[*controller]) {
                why = why.or(needed.contains(controller).then_some(error));
            }
        }
    }
    let has = words(&folder.join("cgroup.subtree_control"));
    let is_had = |controller: &Controller| has.iter().any(|name| name == controller.name(Version::Two));
    let lost = needed.iter().filter(|controller| !is_had(controller)).map(|controller| controller.name(Version::Two));
    let lost: Vec<&'static str> = lost.collect();
    let mut folders: Vec<(Controller, PathBuf)> =
        all.into_iter().filter(is_had).map(|controller| (controller, folder.to_path_buf())).collect();
    if folders.is_empty() {
        // A group without controllers is stopped and ended as well.
        folders.push((Controller::Freezer, folder.to_path_buf()));
    }
    let name = Some(name.to_owned());
    Ok(Found { place: Place { version: Version::Two, folders, limits: wanted.limits.clone(), name }, lost, why })
}

fn words(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// The leaf beside a container's group in a unit that is the container's.
pub(super) fn beside(folder: &Path) -> Option<PathBuf> {
    let leaf = folder.parent()?.join(LEAF);
    leaf.is_dir().then_some(leaf)
}

/// Whether processes may be moved from where we are to a group.
pub(super) fn can_move_to(folder: &Path) -> bool {
    let all = mounts::hierarchies();
    let Some(found) = all.iter().find(|found| found.version == Version::Two) else { return true };
    let common = folder.ancestors().find(|above| found.own.starts_with(above));
    common.is_none_or(|common| is_writable(&common.join("cgroup.procs")))
}

/// Hands controllers down from the root to a folder.
pub(super) fn hand_down_all(found: &Hierarchy, folder: &Path, wanted: &[Controller]) -> Result<(), NoPlace> {
    let mut path = found.mount.clone();
    hand_down(&path, found, wanted)?;
    for part in folder.strip_prefix(&found.mount).unwrap_or(Path::new("")) {
        path.push(part);
        hand_down(&path, found, wanted)?;
    }
    Ok(())
}

fn hand_down(path: &Path, found: &Hierarchy, wanted: &[Controller]) -> Result<(), NoPlace> {
    let control = path.join("cgroup.subtree_control");
    let has = words(&control);
    let lacking: Vec<String> = wanted
        .iter()
        .map(|wanted| wanted.name(Version::Two))
        .filter(|wanted| has.iter().all(|name| name != wanted))
        .map(|wanted| format!("+{wanted}"))
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

/// How often processes that are born meanwhile are moved after the others.
const ROUNDS: u32 = 5;

/// Moves everybody in a group that is ours to divide into a leaf of it. Who delegates a group leaves all of its inside to who
/// it is delegated to, so that those who started us may be moved, too.
fn step_aside(path: &Path) -> Result<(), NoPlace> {
    let leaf = path.join(LEAF);
    std::fs::create_dir_all(&leaf).map_err(NoPlace::refused("mkdir", &leaf))?;
    let file = leaf.join("cgroup.procs");
    for _ in 0..ROUNDS {
        let processes = words(&path.join("cgroup.procs"));
        if processes.is_empty() {
            return Ok(());
        }
        for pid in processes {
            match std::fs::write(&file, pid) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                other => other.map_err(NoPlace::refused("write", &file))?,
            }
        }
    }
    let others = words(&path.join("cgroup.procs")).len();
    if others == 0 { Ok(()) } else { Err(NoPlace::Crowded { path: path.to_path_buf(), others }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_is_not_divided() {
        let dir = tempfile::tempdir().unwrap();
        let unit = dir.path().join("unit");
        std::fs::create_dir_all(unit.join(LEAF)).unwrap();
        std::fs::write(unit.join("cgroup.subtree_control"), "").unwrap();
        let at = |own: &Path| Hierarchy {
            version: Version::Two,
            controllers: Vec::new(),
            mount: dir.path().to_path_buf(),
            own: own.to_path_buf(),
        };
        assert_eq!((own(&at(&unit.join(LEAF))), own(&at(&unit))), (unit.clone(), unit));
    }
}
