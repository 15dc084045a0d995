//! `/dev`: a file system in memory, with the few devices that a container may have.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use sys::mount::{Attributes, Setting};

use super::error::StartError;

/// Name, major and minor number.
pub(super) const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// The group that owns terminals, wherever programs look at it.
const TTY_GROUP: &str = "5";

/// What belongs under `/dev`, made but attached nowhere.
pub(super) struct Devices {
    tree: OwnedFd,
    terminals: OwnedFd,
    shm: OwnedFd,
    queues: Option<OwnedFd>,
    /// Copies of the host's nodes, where making our own is refused, as it is in every user namespace.
    nodes: Vec<(&'static str, OwnedFd)>,
    /// Whether nodes that are made later open as well.
    privileged: bool,
}

impl Devices {
    /// Makes them. Host nodes are taken from the `/dev` of the caller, who hasn't changed its root yet. Unless `privileged`,
    /// no node but these opens anything: whoever is root outside too could make one for each disk.
    pub(super) fn new(shm_size: u64, privileged: bool) -> Result<Self, StartError> {
        let quiet = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
        let confined = quiet | Attributes::MOUNT_ATTR_NODEV;
        let memory = [Setting::Text("mode", "0755"), Setting::Text("size", "64m")];
        let tree = sys::mount::new("tmpfs", &memory, Attributes::MOUNT_ATTR_NOSUID)?;
        let size = shm_size.to_string();
        let shm = [Setting::Text("mode", "1777"), Setting::Text("size", &size)];
        let shm = sys::mount::new("tmpfs", &shm, confined)?;
        // Some kernels are built without message queues.
        let queues = sys::mount::new("mqueue", &[], confined).ok();
        let mut devices = Self { tree, terminals: terminals(quiet)?, shm, queues, nodes: Vec::new(), privileged };
        devices.fill()?;
        Ok(devices)
    }

    fn fill(&mut self) -> Result<(), StartError> {
        let failed = |name: &'static str| move |errno| StartError::setup(format!("make /dev/{name}"), errno);
        for (name, major, minor) in NODES {
            let device = rustix::fs::makedev(major, minor);
            let mode = Mode::from_raw_mode(0o666);
            match rustix::fs::mknodat(&self.tree, name, FileType::CharacterDevice, mode, device) {
                Ok(()) => {}
                Err(Errno::PERM) => {
                    file(self.tree.as_fd(), name).map_err(failed(name))?;
                    self.nodes.push((name, sys::mount::copy(host_node(name, (major, minor))?, false)?));
                }
                Err(errno) => return Err(failed(name)(errno)),
            }
        }
        for (name, target) in LINKS {
            rustix::fs::symlinkat(target, &self.tree, name).map_err(failed(name))?;
        }
        for name in ["pts", "shm", "mqueue"] {
            rustix::fs::mkdirat(&self.tree, name, Mode::from_raw_mode(0o755)).map_err(failed(name))?;
        }
        Ok(())
    }

    /// Attaches all of it over `dev`, a directory inside the container.
    pub(super) fn attach(mut self, dev: impl AsFd) -> Result<Attached, StartError> {
        sys::mount::attach(&self.tree, dev, "/dev")?;
        if !self.privileged {
            self.confine()?;
        }
        let queues = self.queues.iter().map(|queues| ("mqueue", queues));
        let others = [("pts", &self.terminals), ("shm", &self.shm)].into_iter().chain(queues);
        for (name, mount) in others.chain(self.nodes.iter().map(|(name, node)| (*name, node))) {
            let over = open(self.tree.as_fd(), name)?;
            sys::mount::attach(mount, over, format!("/dev/{name}"))?;
        }
        Ok(Attached { tree: self.tree, terminals: self.terminals })
    }
}

impl Devices {
    /// Lets our own nodes open, each by a mount of its own, and no other that is made beside them. The host's would not
    /// do here: who is root outside could change their permissions for all.
    fn confine(&mut self) -> Result<(), StartError> {
        for (name, ..) in NODES {
            if self.nodes.iter().all(|(known, _)| *known != name) {
                self.nodes.push((name, sys::mount::copy(open(self.tree.as_fd(), name)?, false)?));
            }
        }
        Ok(sys::mount::restrict(&self.tree, Attributes::MOUNT_ATTR_NODEV, false)?)
    }
}

/// `/dev` and `/dev/pts` where they are now.
pub(super) struct Attached {
    pub(super) tree: OwnedFd,
    pub(super) terminals: OwnedFd,
}

impl Attached {
    /// The container's own `/dev/null`.
    pub(super) fn null(&self) -> Result<OwnedFd, StartError> {
        rustix::fs::openat(&self.tree, "null", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|errno| StartError::setup("open /dev/null", errno))
    }
}

/// A terminal file system of our own: with the terminals' group where it is mapped, else without.
fn terminals(attributes: Attributes) -> sys::Result<OwnedFd> {
    let settings = [
        Setting::Flag("newinstance"),
        Setting::Text("ptmxmode", "0666"),
        Setting::Text("mode", "0620"),
        Setting::Text("gid", TTY_GROUP),
    ];
    match sys::mount::new("devpts", &settings, attributes) {
        Err(error) if error.errno() == Errno::INVAL => {
            sys::mount::new("devpts", &settings[..settings.len() - 1], attributes)
        }
        other => other,
    }
}

fn file(dir: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o666)).map(drop)
}

pub(super) fn open(dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, StartError> {
    rustix::fs::openat(dir, name, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
        .map_err(|errno| StartError::setup(format!("open {name}"), errno))
}

/// The host's node, checked to be the device that its name says.
pub(super) fn host_node(name: &str, number: (u32, u32)) -> Result<OwnedFd, StartError> {
    let path = format!("/dev/{name}");
    let node = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
        .map_err(|errno| StartError::setup(format!("open {path}"), errno))?;
    check_device(&node, number, &path)?;
    Ok(node)
}

/// Refuses what is not the character device of this number.
fn check_device(node: impl AsFd, number: (u32, u32), path: &str) -> Result<(), StartError> {
    let stat = rustix::fs::statat(node, "", AtFlags::EMPTY_PATH)
        .map_err(|errno| StartError::setup(format!("stat {path}"), errno))?;
    let is_char = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    let found = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    if is_char && found == number {
        Ok(())
    } else {
        Err(StartError::Invalid(format!("{path} is not the device {}:{}", number.0, number.1)))
    }
}
