//! The group of one container.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;

use super::Place;
use super::limits::{Controller, Version};
use crate::container::StartError;

/// How often a group that is not empty yet is tried again, and how long apart.
const TRIES: u32 = 50;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(4);

/// More names than others can have taken.
const MAX_TAKEN: u32 = 10_000;

/// Folders of a group, removed by [`Group::remove`].
#[derive(Debug, Default)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
}

fn failed(call: &str, path: &Path, error: &io::Error) -> StartError {
    let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
    StartError::setup(format!("{call} {}", path.display()), errno)
}

impl Group {
    /// Makes a group with the place's limits. The container's first process enters it by the descriptors that come with
    /// it: `0` written into one means the writer.
    pub(crate) fn make(place: &Place) -> Result<(Self, Vec<OwnedFd>), StartError> {
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
            match File::options().write(true).open(&file).and_then(|mut file| file.write_all(setting.value.as_bytes()))
            {
                Err(error) if setting.may_lack && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&format!("write {} to", setting.value), &file, &error)),
                Ok(()) => {}
            }
        }
        let open = |path: &PathBuf| {
            let path = path.join("cgroup.procs");
            let opened = File::options().write(true).open(&path);
            opened.map(OwnedFd::from).map_err(|error| failed("open", &path, &error))
        };
        self.folders.iter().map(open).collect()
    }

    /// Removes it, when its last process is gone; one that does not go is no reason to wait for long.
    pub(crate) fn remove(&self) {
        for folder in &self.folders {
            for _ in 0..TRIES {
                match std::fs::remove_dir(folder) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(PAUSE),
                    _ => break,
                }
            }
        }
    }
}

/// Enters groups by their descriptors, and makes them what the caller's namespace begins with.
pub(crate) fn enter(doors: &[OwnedFd]) -> Result<(), StartError> {
    for door in doors {
        rustix::io::write(door, b"0").map_err(|errno| StartError::setup("enter the control group", errno))?;
    }
    if !doors.is_empty() {
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
    use crate::cgroup::Limits;

    #[test]
    fn a_name_that_is_taken_is_left_to_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let folders = vec![(Controller::Memory, dir.path().to_path_buf())];
        let place = Place { version: Version::Two, folders, limits: Limits::default() };
        // No file system of control groups: the group is made, and cannot be opened.
        let names: Vec<String> = (0..3).map(|number| format!("{}-{number}", std::process::id())).collect();
        for name in &names {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let error = Group::make(&place).unwrap_err().to_string();
        assert!(error.contains("cgroup.procs"), "{error}");
        assert!(!names.iter().any(|name| error.contains(&format!("{name}/"))), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
