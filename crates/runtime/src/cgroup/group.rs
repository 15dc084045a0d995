//! The group of one container.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::Place;
use super::limits::Limits;
use super::settings::{Controller, Setting, Version};
use super::{systemd, unified};
use crate::container::StartError;

/// How often a group that is not empty yet is tried again, and how long apart.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(4);

/// More names than others can have taken.
const MAX_TAKEN: u32 = 10_000;

/// How deep groups within a container's are followed: what runs in it with all rights may have made some.
const MAX_DEPTH: u32 = 32;

/// A container's group: a folder a hierarchy, none where it has no group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Group {
    folders: Vec<PathBuf>,
}

/// What a group refuses.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// There is none.
    #[error("it has no control group: the limit holds from its next start, where it gets one")]
    None,
    /// The kernel's word.
    #[error("{call} {path}: {why}")]
    Refused {
        /// What was tried.
        call: String,
        /// Where.
        path: PathBuf,
        /// The kernel's word.
        why: io::Error,
    },
    /// A limit cannot be changed now.
    #[error("its control group has no controller {0}: the limit holds from its next start, where there is one")]
    NoController(&'static str),
    /// It does not stand still.
    #[error("{0}: its processes did not all stop in time, and go on")]
    NotFrozen(PathBuf),
}

fn failed(call: &str, path: &Path, error: &io::Error) -> StartError {
    let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
    StartError::setup(format!("{call} {}", path.display()), errno)
}

impl From<GroupError> for StartError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Refused { call, path, why } => failed(&call, &path, &why),
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl Group {
    /// The one in these folders.
    pub fn at(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// No group.
    pub const fn none() -> Self {
        Self { folders: Vec::new() }
    }

    /// Its folders.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.folders.is_empty()
    }

    /// Makes a group with the place's limits. The container's first process enters it by the descriptors that come with
    /// it: `0` written into one means the writer.
    pub(crate) fn make(place: &Place) -> Result<(Self, Vec<OwnedFd>), StartError> {
        match &place.name {
            Some(name) => Self::named(place, name),
            None => Self::numbered(place),
        }
    }

    /// A name that is one container's alone: who has it is a leftover of that container.
    fn named(place: &Place, name: &str) -> Result<(Self, Vec<OwnedFd>), StartError> {
        let leftover = Self::at(place.folders.iter().map(|(_, folder)| folder.join(name)).collect());
        let mut group = Self::default();
        let first = group.fill(place, name);
        match first {
            Ok(doors) => Ok((group, doors)),
            Err(error) => {
                let is_taken = matches!(error, StartError::Setup { errno, .. } if errno == Errno::EXIST.raw_os_error());
                if !is_taken {
                    group.remove();
                    return Err(error);
                }
                leftover.kill();
                leftover.remove();
                let mut group = Self::default();
                let doors = group.fill(place, name).inspect_err(|_| group.remove())?;
                Ok((group, doors))
            }
        }
    }

    fn numbered(place: &Place) -> Result<(Self, Vec<OwnedFd>), StartError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..MAX_TAKEN {
            let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let mut group = Self::default();
            match group.fill(place, &name) {
                Ok(doors) => return Ok((group, doors)),
                Err(error) => {
                    group.remove();
                    // A process of our number has it, in another namespace of processes, or left it when it was killed.
                    if !matches!(error, StartError::Setup { errno, .. } if errno == Errno::EXIST.raw_os_error()) {
                        return Err(error);
                    }
                }
            }
        }
        Err(StartError::setup("find a name for a control group", Errno::EXIST))
    }

    fn fill(&mut self, place: &Place, name: &str) -> Result<Vec<OwnedFd>, StartError> {
        for (controller, folder) in &place.folders {
            let path = folder.join(name);
            if self.folders.contains(&path) {
                continue;
            }
            std::fs::create_dir(&path).map_err(|error| failed("mkdir", &path, &error))?;
            self.folders.push(path.clone());
            if (place.version, *controller) == (Version::One, Controller::Cpuset) {
                copy_cpuset(&path).map_err(|error| failed("write cpuset of", &path, &error))?;
            }
        }
        for setting in place.limits.settings(place.version) {
            let folder = place.folders.iter().find(|(controller, _)| *controller == setting.controller);
            let Some((_, folder)) = folder else { continue };
            let file = folder.join(name).join(setting.file);
            write(&file, &setting).map_err(|error| failed(&format!("write {} to", setting.value), &file, &error))?;
        }
        Ok(self.doors()?)
    }

    /// Descriptors by which a process enters it: see [`enter`].
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn doors(&self) -> Result<Vec<OwnedFd>, GroupError> {
        let name = door(self.version());
        let open = |folder: &PathBuf| {
            let path = folder.join(name);
            let opened = File::options().write(true).open(&path);
            opened.map(OwnedFd::from).map_err(|why| GroupError::Refused { call: "open".to_owned(), path, why })
        };
        self.folders.iter().map(open).collect()
    }

    /// A descriptor of its folder, by which a process is born in it ([`sys::clone::fork_into`]): of the newer version only.
    pub fn folder(&self) -> Option<OwnedFd> {
        let [folder] = self.folders.as_slice() else { return None };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let is_newer = self.version() == Version::Two;
        is_newer.then(|| rustix::fs::open(folder, flags, Mode::empty()).ok()).flatten()
    }

    /// Moves the caller beside the supervisor where it could not enter the group from where it is: who moves a process needs
    /// the right to write to the first group above both, which a session and a unit of the user's manager do not give. The
    /// manager may. A refusal is told by the door that stays shut.
    pub fn approach(&self) {
        let Some((folder, beside)) = self.folders.first().and_then(|folder| Some((folder, unified::beside(folder)?)))
        else {
            return;
        };
        if !unified::can_move_to(folder) {
            let moved = std::fs::write(beside.join("cgroup.procs"), "0").is_ok();
            if let (false, Some((unit, below))) = (moved, systemd::unit_of(&beside)) {
                let _ = systemd::attach(&unit, &below, std::process::id());
            }
        }
    }

    /// Writes other limits into a group that has processes.
    ///
    /// # Errors
    /// The first that the kernel refuses; those before it hold.
    pub fn limit(&self, limits: &Limits) -> Result<(), GroupError> {
        if self.is_none() {
            return Err(GroupError::None);
        }
        let version = self.version();
        let mut again = Vec::new();
        for setting in limits.settings(version) {
            let Some(path) = self.file(setting.file) else {
                if setting.may_lack {
                    continue;
                }
                return Err(GroupError::NoController(setting.controller.name(version)));
            };
            // Memory and memory with swap bound each other: which goes first depends on what was there.
            if write(&path, &setting).is_err() {
                again.push((path, setting));
            }
        }
        for (path, setting) in again {
            let call = format!("write {} to", setting.value);
            write(&path, &setting).map_err(|why| GroupError::Refused { call, path, why })?;
        }
        Ok(())
    }

    /// The interface that its folders have.
    pub(super) fn version(&self) -> Version {
        let is_newer = |folder: &PathBuf| folder.join("cgroup.controllers").exists();
        if self.folders.first().is_some_and(is_newer) { Version::Two } else { Version::One }
    }

    /// The file of this name: no two hierarchies have the same, but for those of every group.
    pub(super) fn file(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.exists())
    }

    /// What a file of it holds.
    pub(super) fn read(&self, name: &str) -> Option<String> {
        self.folders.iter().find_map(|folder| std::fs::read_to_string(folder.join(name)).ok())
    }

    /// Its processes and those of the groups within, by our numbers.
    pub fn processes(&self) -> Vec<i32> {
        let mut all = Vec::new();
        for folder in &self.folders {
            processes_below(folder, MAX_DEPTH, &mut all);
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Kills every process in it, those that fork without end too. Returns when it is empty, or after a while.
    pub fn kill(&self) {
        for folder in &self.folders {
            let _ = std::fs::write(folder.join("cgroup.kill"), "1");
        }
        for _ in 0..TRIES {
            // Who is frozen does not die in the older version.
            let _ = self.thaw();
            if !self.kill_round() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Kills those that are in it now; false where there are none. Numbers are given again to others: a process is killed
    /// only if it is still in the group when we hold it.
    fn kill_round(&self) -> bool {
        let held: Vec<(i32, OwnedFd)> = self
            .processes()
            .into_iter()
            .filter_map(|pid| Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?)))
            .collect();
        let still = self.processes();
        for (pid, fd) in &held {
            if still.binary_search(pid).is_ok() {
                let _ = pidfd_send_signal(fd, Signal::KILL);
            }
        }
        !still.is_empty()
    }

    /// Removes it, when its last process is gone; one that does not go is no reason to wait for long.
    pub fn remove(&self) {
        for folder in &self.folders {
            for _ in 0..TRIES {
                match std::fs::remove_dir(folder) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        remove_below(folder, MAX_DEPTH);
                        std::thread::sleep(PAUSE);
                    }
                    _ => break,
                }
            }
        }
    }
}

/// The file by which a process enters: it has one thread then. In the older version a thread that moves itself (`tasks`) waits for
/// nobody, and a process that does (`cgroup.procs`) waits until no process of the machine is forking: 10 ms and more.
const fn door(version: Version) -> &'static str {
    match version {
        Version::One => "tasks",
        Version::Two => "cgroup.procs",
    }
}

/// Writes one setting, all at once as the kernel wants it.
fn write(path: &Path, setting: &Setting) -> io::Result<()> {
    match File::options().write(true).open(path).and_then(|mut file| file.write_all(setting.value.as_bytes())) {
        Err(error) if setting.may_lack && lacks(&error) => Ok(()),
        other => other,
    }
}

/// No such file, or a scheduler of devices that has no weights.
fn lacks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error())
}

fn folders_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

fn processes_below(folder: &Path, depth: u32, all: &mut Vec<i32>) {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // 0 is a process that our namespace does not show.
    all.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    if depth > 0 {
        folders_in(folder).for_each(|inner| processes_below(&inner, depth - 1, all));
    }
}

fn remove_below(folder: &Path, depth: u32) {
    for inner in folders_in(folder) {
        if depth > 0 {
            remove_below(&inner, depth - 1);
        }
        let _ = std::fs::remove_dir(&inner);
    }
}

/// Enters groups by their descriptors, unless the caller was born in them; and makes them what its namespace of them begins
/// with, where it has one of its own.
pub(crate) fn enter(doors: &[OwnedFd], entered: bool, own: bool) -> Result<(), StartError> {
    for door in doors.iter().filter(|_| !entered) {
        rustix::io::write(door, b"0").map_err(|errno| StartError::setup("enter the control group", errno))?;
    }
    if own && !doors.is_empty() {
        // Where this is refused the program sees a path that leads up from where it began, and nothing else.
        let _ = sys::ns::unshare(sys::ns::Namespaces::NEWCGROUP);
    }
    Ok(())
}

/// Gives a group of the older version its parent's processors and memory, where it has none.
pub(super) fn copy_cpuset(path: &Path) -> io::Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let own = path.join(name);
        if std::fs::read_to_string(&own)?.trim().is_empty()
            && let Some(parent) = path.parent()
        {
            std::fs::write(&own, std::fs::read(parent.join(name))?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_left_to_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let folders = vec![(Controller::Memory, dir.path().to_path_buf())];
        let place = Place { version: Version::One, folders, limits: Limits::default(), name: None };
        // No file system of control groups: the group is made, and cannot be opened.
        let names: Vec<String> = (0..3).map(|number| format!("{}-{number}", std::process::id())).collect();
        for name in &names {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let error = Group::make(&place).unwrap_err().to_string();
        assert!(error.contains("/tasks"), "{error}");
        assert!(!names.iter().any(|name| error.contains(&format!("{name}/"))), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn groups_within_go_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("g/a/b")).unwrap();
        // A plain folder says "not empty" where the kernel's groups say "busy".
        remove_below(&dir.path().join("g"), MAX_DEPTH);
        Group::at(vec![dir.path().join("g")]).remove();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(matches!(Group::default().limit(&Limits::default()), Err(GroupError::None)));
    }
}
