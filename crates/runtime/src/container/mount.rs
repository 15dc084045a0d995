//! Folders of the host and of memory, with everything that can be asked of them: propagation, attributes, a first filling from the
//! image, a change of owner.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::lock::Lock;
use sys::mount::{Attributes, Propagation as Kernel, Setting};
use sys::{OpenFlags, Root};

use super::error::StartError;
use super::rootfs;
use super::user::User;
use crate::snapshot::duplicate;

/// A file or directory of the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Bind {
    /// Resolved before the container is made, links followed.
    pub path: PathBuf,
    /// A path inside `path`, resolved within it; empty means all of it.
    pub subpath: String,
    /// Whether with all mounts below.
    pub recursive: bool,
    /// What becomes of mounts that are made below, on either side, while the container runs.
    pub propagation: Propagation,
    /// What the mount refuses.
    pub flags: Flags,
    /// Whether a read-only mount leaves what is mounted below it as it is.
    pub shallow: bool,
    /// A file that is there until the directory was filled with what the image has at the target, and is locked while it is.
    pub fill: Option<PathBuf>,
    /// Whether all of it is given to the container's user first.
    pub own: bool,
}

/// A directory in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Bytes at most; `None` leaves it to the kernel (half the memory).
    pub size: Option<u64>,
    /// Files at most; `None` leaves it to the kernel.
    pub inodes: Option<u64>,
    /// Its mode.
    pub mode: u32,
    /// Its owner and group.
    pub owner: (u32, u32),
    /// What the mount refuses.
    pub flags: Flags,
    /// Whether it begins with what the image has at the target.
    pub fill: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self { size: None, inodes: None, mode: 0o1777, owner: (0, 0), flags: Flags::default(), fill: false }
    }
}

/// What a mount refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Flags {
    /// No program is executed from it.
    pub noexec: bool,
    /// Set-user-id bits mean nothing.
    pub nosuid: bool,
    /// Whether device nodes open: nowhere else do they, except in a file of `/dev` that is named.
    pub dev: bool,
    /// No time of access is kept.
    pub noatime: bool,
}

impl Flags {
    fn attributes(self) -> Attributes {
        let one = |asked, attribute| if asked { attribute } else { Attributes::empty() };
        one(self.noexec, Attributes::MOUNT_ATTR_NOEXEC)
            | one(self.nosuid, Attributes::MOUNT_ATTR_NOSUID)
            | one(self.noatime, Attributes::MOUNT_ATTR_NOATIME)
    }
}

/// What becomes of mounts that are made below a mount, here or where it comes from. What is made inside never shows on the host: whoever
/// starts a container has a mount namespace of its own, which hands on what the host mounts and gives nothing back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    /// They stay where they were made.
    #[default]
    Private,
    /// Those of the host show inside.
    Slave,
    /// Those of the host show inside, and those of the container where it shares them in turn.
    Shared,
}

impl Bind {
    /// A copy of the mount, as it is now.
    pub(super) fn copy(&self) -> Result<OwnedFd, StartError> {
        if self.subpath.trim_matches('/').is_empty() {
            return rootfs::directory(&self.path, self.recursive);
        }
        let found = Root::open(&self.path)?.open_file(&self.subpath, OpenFlags::PATH | OpenFlags::CLOEXEC);
        let found = found.map_err(|error| error.at(format!("{} in {}", self.subpath, self.path.display())))?;
        match sys::mount::copy(&found, self.recursive) {
            // What is mounted below may be locked to it: then it comes along.
            Err(error) if error.errno() == Errno::INVAL && !self.recursive => Ok(sys::mount::copy(&found, true)?),
            other => Ok(other?),
        }
    }

    /// The same, taken before the mounts around are made private; `None` where that makes no difference.
    pub(super) fn propagating(&self) -> Result<Option<OwnedFd>, StartError> {
        let kind = match self.propagation {
            Propagation::Private => return Ok(None),
            Propagation::Slave => Kernel::Slave,
            Propagation::Shared => Kernel::Shared,
        };
        let copy = self.copy()?;
        sys::mount::propagate(&copy, kind, self.recursive)?;
        Ok(Some(copy))
    }

    /// Fills it, gives it to `user`, and restricts it.
    pub(super) fn finish(&self, mount: &OwnedFd, user: Option<&User>, readonly: bool) -> Result<(), StartError> {
        if let Some(user) = user.filter(|_| self.own) {
            give(mount, user.uid, user.gid).map_err(|error| error.at(format!("chown {}", self.path.display())))?;
        }
        let mut attributes = self.flags.attributes();
        let named = self.path.starts_with("/dev");
        if !self.flags.dev && !named && sys::stat::of(mount)?.is_dir() {
            attributes |= Attributes::MOUNT_ATTR_NODEV;
        }
        if !attributes.is_empty() {
            sys::mount::restrict(mount, attributes, true)?;
        }
        if readonly {
            sys::mount::restrict(mount, Attributes::MOUNT_ATTR_RDONLY, !self.shallow)?;
        }
        Ok(())
    }

    /// Fills the directory with what `image` has at `target`, if that never happened.
    pub(super) fn fill(&self, image: &Root, target: &str) -> Result<(), StartError> {
        let Some(marker) = &self.fill else { return Ok(()) };
        let Some(held) = lock(marker)? else { return Ok(()) };
        let folder = Root::open(marker.parent().unwrap_or(Path::new("/")))?;
        let name = Path::new(self.path.file_name().unwrap_or_default());
        if let Some(source) = directory_at(image, target)? {
            fill_folder(&source, &folder, name).map_err(|error| error.at(format!("fill {}", self.path.display())))?;
        }
        folder.remove(marker.file_name().map_or(Path::new(""), Path::new))?;
        drop(held);
        Ok(())
    }
}

impl Memory {
    /// Makes it.
    pub(super) fn make(&self, image: &Root, target: &str, ids: bool, readonly: bool) -> Result<OwnedFd, StartError> {
        let numbers = [("size", self.size), ("nr_inodes", self.inodes)];
        let mut settings = vec![("mode", format!("{:o}", self.mode))];
        settings.extend(numbers.iter().filter_map(|(key, number)| Some((*key, number.as_ref()?.to_string()))));
        if ids && self.owner != (0, 0) {
            settings.extend([("uid", self.owner.0.to_string()), ("gid", self.owner.1.to_string())]);
        }
        let settings: Vec<_> = settings.iter().map(|(key, value)| Setting::Text(key, value)).collect();
        let mut attributes = self.flags.attributes();
        if !self.flags.dev {
            attributes |= Attributes::MOUNT_ATTR_NODEV;
        }
        let mount = sys::mount::new("tmpfs", &settings, attributes)?;
        if self.fill
            && let Some(source) = directory_at(image, target)?
        {
            duplicate::tree(&source, &Root::from_fd(mount.try_clone().map_err(from_io)?))
                .map_err(|error| error.at(format!("fill {target}")))?;
        }
        if readonly {
            sys::mount::restrict(&mount, Attributes::MOUNT_ATTR_RDONLY, false)?;
        }
        Ok(mount)
    }
}

fn from_io(error: std::io::Error) -> StartError {
    sys::Error::from_io("dup", "", &error).into()
}

/// How long another may take to fill it: who waits may be a supervisor, which hears nobody meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long apart it is looked whether he has done.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits for the one who fills, for a time; `None` when there is nothing to fill any more.
fn lock(marker: &Path) -> Result<Option<Lock>, StartError> {
    let mut file = match File::open(marker) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(sys::Error::from_io("open", marker, &error).into()),
    };
    let until = Instant::now() + PATIENCE;
    let lock = loop {
        match Lock::try_exclusive(file)? {
            Ok(lock) => break lock,
            Err(_) if Instant::now() >= until => return Err(sys::Error::new("flock", marker, Errno::TIMEDOUT).into()),
            Err(back) => file = back,
        }
        std::thread::sleep(PAUSE);
    };
    // Whoever had it before may have done it all.
    Ok(marker.exists().then_some(lock))
}

/// The directory at a path of the image, links followed within the image; `None` where there is none.
fn directory_at(image: &Root, target: &str) -> Result<Option<Root>, StartError> {
    match image.open_dir(target) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is copied is whole before it is there: a copy that was cut off is begun again.
fn fill_folder(source: &Root, folder: &Root, name: &Path) -> sys::Result<()> {
    const PARTIAL: &str = ".filling";
    folder.remove_all(PARTIAL)?;
    folder.mkdir(PARTIAL, 0o700)?;
    duplicate::tree(source, &folder.open_dir_nofollow(PARTIAL)?)?;
    match folder.rename(PARTIAL, name) {
        // Somebody put something into it by hand: that is what it holds.
        Err(error) if matches!(error.errno(), Errno::NOTEMPTY | Errno::EXIST) => folder.remove_all(PARTIAL),
        other => other,
    }
}

/// Gives a file, or a directory with all in it on the same file system, to somebody. Links are given themselves.
fn give(mount: &OwnedFd, uid: u32, gid: u32) -> sys::Result<()> {
    let top = sys::stat::of(mount)?;
    if !top.is_dir() {
        let (user, group) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        let flags = rustix::fs::AtFlags::EMPTY_PATH;
        return rustix::fs::chownat(mount, "", Some(user), Some(group), flags)
            .map_err(|errno| sys::Error::new("chown", "", errno));
    }
    let root = Root::from_fd(mount.try_clone().map_err(|error| sys::Error::from_io("dup", "", &error))?);
    let mut pending = vec![PathBuf::new()];
    while let Some(dir) = pending.pop() {
        let at = match root.open_dir_nofollow(&dir) {
            Ok(at) => at,
            // Somebody else changes it meanwhile.
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(error) => return Err(error),
        };
        for entry in at.read_dir("")? {
            let name = entry?.name;
            let Ok(stat) = at.stat(&name) else { continue };
            if stat.dev != top.dev {
                continue;
            }
            if (stat.uid, stat.gid) != (uid, gid) {
                at.chown(&name, uid, gid)?;
            }
            if stat.is_dir() {
                pending.push(dir.join(&name));
            }
        }
    }
    root.chown("", uid, gid)
}
