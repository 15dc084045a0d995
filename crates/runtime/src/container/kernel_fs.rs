//! `/proc` and `/sys`: what of the kernel a container sees, and what of that it may change.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sys::mount::Attributes;

use super::error::StartError;
use super::stub::MountPoints;

/// Under `/proc`: hidden, as docker hides them.
const MASKED_PROC: [&str; 10] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];
/// Under `/proc`: readable only.
const READONLY_PROC: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
/// Under `/sys`: hidden.
const MASKED_SYS: [&str; 2] = ["firmware", "devices/virtual/powercap"];

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
    privileged: bool,
}

impl KernelFs {
    /// Makes them around a [`new_proc`]; `empty` is a directory without entries.
    pub(super) fn new(proc: OwnedFd, empty: impl AsFd, privileged: bool) -> Result<Self, StartError> {
        let readonly = confined() | Attributes::MOUNT_ATTR_RDONLY;
        let unified = rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|fs| fs.f_type as u64 == CGROUP2_MAGIC);
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
        let mut kernel_fs = Self { proc, sys, cgroup, masks: Vec::new(), privileged };
        if !privileged {
            kernel_fs.mask(empty)?;
        }
        Ok(kernel_fs)
    }

    fn mask(&mut self, empty: impl AsFd) -> Result<(), StartError> {
        let null = super::device::host_node("null", (1, 3))?;
        let below_proc = MASKED_PROC.iter().map(|name| (&self.proc, *name));
        for (within, name) in below_proc.chain(MASKED_SYS.iter().map(|name| (&self.sys, *name))) {
            let Some((over, is_dir)) = find(within.as_fd(), name)? else { continue };
            let mask = if is_dir { empty_mount(&empty)? } else { sys::mount::copy(&null, false)? };
            self.masks.push((over, mask));
        }
        Ok(())
    }

    /// Attaches them inside, and hides and protects what docker does. Gives the new `/proc`.
    pub(super) fn attach(self, points: &mut MountPoints) -> Result<OwnedFd, StartError> {
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
        if !self.privileged {
            for name in READONLY_PROC {
                protect(self.proc.as_fd(), name)?;
            }
        }
        Ok(self.proc)
    }
}

/// A `/proc` of the pid namespace that we are in; `host` is the caller's, with nothing of ours mounted on it yet.
pub(super) fn new_proc(host: impl AsFd) -> Result<OwnedFd, StartError> {
    match sys::mount::new("proc", &[], confined()) {
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
