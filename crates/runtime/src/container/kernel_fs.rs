//! `/proc` and `/sys`: what of the kernel a container sees, and what of that it may change.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sys::mount::{Attributes, Setting};

use super::boundary::Paths;
use super::error::StartError;
use super::stub::MountPoints;

const CGROUP2_MAGIC: u64 = 0x6367_7270;

fn confined() -> Attributes {
    Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOEXEC
}

/// `/proc` and `/sys`, made but attached nowhere.
///
/// They are made before the root changes: the kernel gives a new one only to who sees a whole one already.
pub(super) struct KernelFs {
    proc: OwnedFd,
    sys: OwnedFd,
    cgroup: Option<OwnedFd>,
    /// Places to hide, and what hides each.
    masks: Vec<(OwnedFd, OwnedFd)>,
    /// What hides a file and a folder of the image's, and which.
    others: Option<(OwnedFd, OwnedFd, Vec<String>)>,
    /// Places to protect.
    readonly: Vec<String>,
}

impl KernelFs {
    /// Makes them around a [`new_proc`]; `empty` is a directory without entries.
    pub(super) fn new(proc: OwnedFd, empty: impl AsFd, paths: &Paths, privileged: bool) -> Result<Self, StartError> {
        let readonly = confined() | Attributes::MOUNT_ATTR_RDONLY;
        let unified = has_unified_groups();
        let attributes = if privileged { confined() } else { readonly };
        let mut cgroup = if unified { sys::mount::new("cgroup2", &[], attributes).ok() } else { None };
        let sys = match sys::mount::new("sysfs", &[], attributes) {
            // It belongs to the network namespace: without one of our own there is only the host's, with all below.
            Err(error) if error.errno() == Errno::PERM => {
                let copy = sys::mount::copy_path(Path::new("/sys"), true)?;
                sys::mount::restrict(&copy, readonly, true)?;
                if cgroup.is_none() {
                    cgroup = Some(empty_mount(&empty)?);
                }
                copy
            }
            other => other?,
        };
        let mut kernel_fs = Self { proc, sys, cgroup, masks: Vec::new(), others: None, readonly: Vec::new() };
        if !privileged {
            kernel_fs.readonly.clone_from(&paths.readonly);
            kernel_fs.mask(empty, &paths.masked)?;
        }
        Ok(kernel_fs)
    }

    fn mask(&mut self, empty: impl AsFd, masked: &[String]) -> Result<(), StartError> {
        let null = super::device::host_node("null", (1, 3))?;
        let mut others = Vec::new();
        for path in masked {
            let Some((within, name)) = self.within(path) else {
                others.push(path.clone());
                continue;
            };
            let Some((over, is_dir)) = find(within, name)? else { continue };
            let mask = if is_dir { empty_mount(&empty)? } else { sys::mount::copy(&null, false)? };
            self.masks.push((over, mask));
        }
        if !others.is_empty() {
            self.others = Some((sys::mount::copy(&null, false)?, empty_mount(&empty)?, others));
        }
        Ok(())
    }

    /// Which of ours a path is in, and where there.
    fn within<'a>(&self, path: &'a str) -> Option<(BorrowedFd<'_>, &'a str)> {
        let proc = path.strip_prefix("/proc/").map(|name| (self.proc.as_fd(), name));
        proc.or_else(|| path.strip_prefix("/sys/").map(|name| (self.sys.as_fd(), name)))
    }

    /// Attaches them inside, and hides and protects what docker does. Gives the new `/proc`.
    pub(super) fn attach(self, points: &mut MountPoints) -> Result<Entered, StartError> {
        for (name, mount) in [("proc", &self.proc), ("sys", &self.sys)] {
            refuse_link(points, name)?;
            let over = points.open(name, true)?;
            sys::mount::attach(mount, over, format!("/{name}"))?;
        }
        if let Some(cgroup) = &self.cgroup
            && let Some((over, _)) = find(self.sys.as_fd(), "fs/cgroup")?
        {
            sys::mount::attach(cgroup, over, "/sys/fs/cgroup")?;
        }
        for (over, mask) in &self.masks {
            sys::mount::attach(mask, over, "masked path")?;
        }
        for path in &self.readonly {
            if let Some((within, name)) = self.within(path) {
                protect(within, name)?;
            }
        }
        Ok(Entered { proc: self.proc, others: self.others })
    }
}

/// Whether the host has control groups of version 2 alone.
pub(crate) fn has_unified_groups() -> bool {
    rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|fs| fs.f_type as u64 == CGROUP2_MAGIC)
}

/// `/proc` inside, and what of the image is still to be hidden.
pub(super) struct Entered {
    pub(super) proc: OwnedFd,
    others: Option<(OwnedFd, OwnedFd, Vec<String>)>,
}

impl Entered {
    /// Hides what of the image and its mounts was asked to be hidden. Links are followed within the root.
    pub(super) fn hide(&self, root: &sys::Root) -> Result<(), StartError> {
        let Some((null, empty, paths)) = &self.others else { return Ok(()) };
        for path in paths {
            let over = match root.open_file(path, sys::OpenFlags::PATH | sys::OpenFlags::CLOEXEC) {
                Err(error) if error.is_not_found() => continue,
                other => other?,
            };
            let mask = if sys::stat::of(&over)?.is_dir() { empty } else { null };
            sys::mount::attach(sys::mount::copy(mask, false)?, over, path)?;
        }
        Ok(())
    }
}

/// A `/proc` of the pid namespace that we are in; `host` is the caller's, with nothing of ours mounted on it yet.
pub(super) fn new_proc(host: impl AsFd, options: &[(String, String)]) -> Result<OwnedFd, StartError> {
    let settings: Vec<_> = options.iter().map(|(name, value)| Setting::Text(name, value)).collect();
    match sys::mount::new("proc", &settings, confined()) {
        Err(error) if !options.is_empty() => {
            Err(StartError::Invalid(format!("--security-opt proc-opts: /proc takes no such options here: {error}")))
        }
        // Inside a container whose own /proc is masked, the kernel shows no new one unmasked; the old one serves.
        Err(error) if error.errno() == Errno::PERM => Ok(sys::mount::copy(host, true)?),
        other => Ok(other?),
    }
}

/// A read-only mount of the empty directory.
fn empty_mount(empty: impl AsFd) -> Result<OwnedFd, StartError> {
    let mount = sys::mount::copy(empty, false)?;
    sys::mount::restrict(&mount, confined() | Attributes::MOUNT_ATTR_RDONLY, false)?;
    Ok(mount)
}

/// An image whose `/proc` is a link would have us mount it elsewhere, and programs read something else under its name.
fn refuse_link(points: &MountPoints, name: &str) -> Result<(), StartError> {
    match points.root().stat(name) {
        Ok(stat) if !stat.is_dir() => {
            Err(StartError::Invalid(format!("/{name} of the image is not a directory; nothing can be mounted on it")))
        }
        _ => Ok(()),
    }
}

/// Makes one more mount of the same place over it, read-only.
fn protect(within: BorrowedFd<'_>, name: &str) -> Result<(), StartError> {
    let Some((over, _)) = find(within, name)? else { return Ok(()) };
    // In a container's own /proc some of these are mounts already, locked to it: they come along.
    let copy = match sys::mount::copy(&over, false) {
        Err(error) if error.errno() == Errno::INVAL => sys::mount::copy(&over, true)?,
        other => other?,
    };
    sys::mount::restrict(&copy, confined() | Attributes::MOUNT_ATTR_RDONLY, true)?;
    Ok(sys::mount::attach(copy, over, name)?)
}

/// A file or directory of a kernel file system, if this kernel has it, and whether it is a directory.
fn find(within: BorrowedFd<'_>, name: &str) -> Result<Option<(OwnedFd, bool)>, StartError> {
    match rustix::fs::openat(within, name, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(fd) => {
            let is_dir = sys::stat::of(&fd)?.is_dir();
            Ok(Some((fd, is_dir)))
        }
        Err(Errno::NOENT | Errno::ACCESS) => Ok(None),
        Err(errno) => Err(StartError::setup(format!("open {name}"), errno)),
    }
}
