//! `/dev`: a file system in memory, with the few devices that a container may have.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use sys::mount::{Attributes, Setting};

use super::boundary::Device;
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
    shm: Option<OwnedFd>,
    queues: Option<OwnedFd>,
    /// Copies of the host's nodes, where making our own is refused, as it is in every user namespace.
    nodes: Vec<(String, OwnedFd)>,
    /// Whether nodes that are made later open as well.
    privileged: bool,
}

impl Devices {
    /// Makes them. Host nodes are taken from the `/dev` of the caller, who hasn't changed its root yet. Unless `privileged`,
    /// no node but these opens anything: whoever is root outside too could make one for each disk.
    pub(super) fn new(shm: Shm, privileged: bool) -> Result<Self, StartError> {
        let quiet = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
        let confined = quiet | Attributes::MOUNT_ATTR_NODEV;
        let memory = [Setting::Text("mode", "0755"), Setting::Text("size", "64m")];
        let tree = sys::mount::new("tmpfs", &memory, Attributes::MOUNT_ATTR_NOSUID)?;
        let shm = match shm {
            Shm::None => None,
            Shm::Shared(mount) => Some(mount),
            Shm::Own(size) => {
                let size = size.to_string();
                let settings = [Setting::Text("mode", "1777"), Setting::Text("size", &size)];
                Some(sys::mount::new("tmpfs", &settings, confined)?)
            }
        };
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
                    self.nodes.push((name.to_owned(), sys::mount::copy(host_node(name, (major, minor))?, false)?));
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

    /// Adds devices of the host: nodes of our own with the same numbers, owners and permissions where we may make them, else the
    /// host's own.
    pub(super) fn add(&mut self, devices: &[Device]) -> Result<(), StartError> {
        for device in devices {
            let named = |errno| StartError::setup(format!("device {}", device.host.display()), errno);
            let node = rustix::fs::open(&device.host, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(named)?;
            let stat = rustix::fs::fstat(&node).map_err(named)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
                return Err(StartError::Invalid(format!("{} is not a device node", device.host.display())));
            }
            if NODES.iter().any(|(name, ..)| *name == device.name) {
                continue;
            }
            self.make_dirs(&device.name).map_err(named)?;
            let mode = Mode::from_raw_mode(stat.st_mode & 0o777);
            match rustix::fs::mknodat(&self.tree, &device.name, kind, mode, stat.st_rdev) {
                Ok(()) => {
                    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
                    rustix::fs::chownat(&self.tree, &device.name, Some(owner), Some(group), AtFlags::empty())
                        .map_err(named)?;
                    if !self.privileged {
                        let own = open(self.tree.as_fd(), &device.name)?;
                        self.nodes.push((device.name.clone(), sys::mount::copy(own, false)?));
                    }
                }
                Err(Errno::PERM) => {
                    file(self.tree.as_fd(), &device.name).map_err(named)?;
                    self.nodes.push((device.name.clone(), copy_locked(&node)?));
                }
                // Given twice, or as docker's --privileged does beside a --device.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(named(errno)),
            }
        }
        Ok(())
    }

    fn make_dirs(&self, name: &str) -> Result<(), Errno> {
        for (at, _) in name.match_indices('/') {
            match rustix::fs::mkdirat(&self.tree, &name[..at], Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
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
        let shm = self.shm.iter().map(|shm| ("shm", shm));
        let others = [("pts", &self.terminals)].into_iter().chain(shm).chain(queues);
        for (name, mount) in others.chain(self.nodes.iter().map(|(name, node)| (name.as_str(), node))) {
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
            if self.nodes.iter().all(|(known, _)| known != name) {
                self.nodes.push((name.to_owned(), sys::mount::copy(open(self.tree.as_fd(), name)?, false)?));
            }
        }
        Ok(sys::mount::restrict(&self.tree, Attributes::MOUNT_ATTR_NODEV, false)?)
    }
}

/// In a user namespace what is mounted there may be locked to its place: then it comes along.
fn copy_locked(node: &OwnedFd) -> sys::Result<OwnedFd> {
    match sys::mount::copy(node, false) {
        Err(error) if error.errno() == Errno::INVAL => sys::mount::copy(node, true),
        other => other,
    }
}

/// What is to be at `/dev/shm`.
pub(super) enum Shm {
    /// Nothing.
    None,
    /// One of its own, of so many bytes.
    Own(u64),
    /// One that others have too.
    Shared(OwnedFd),
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
