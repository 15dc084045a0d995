//! The container that is joined: one process of it, and which of its namespaces are not ours already.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use sys::ns::Joined as Spaces;

use crate::container::StartError;
use crate::container::spec::Isolation;

/// Namespaces by their names in `/proc/<pid>/ns`. Users are another matter: see [`Target::users`].
const SPACES: [(&str, Spaces); 6] = [
    ("mnt", Spaces::MOUNT),
    ("pid", Spaces::PROCESS_ID),
    ("ipc", Spaces::INTER_PROCESS_COMMUNICATION),
    ("uts", Spaces::HOST_NAME_AND_NIS_DOMAIN_NAME),
    ("net", Spaces::NETWORK),
    ("cgroup", Spaces::CONTROL_GROUP),
];

/// A running container to join, held by one of its processes: a number that was given away anew means nobody else.
#[derive(Debug)]
pub struct Target {
    pid: i32,
    pidfd: OwnedFd,
    /// Those that it does not share with us.
    spaces: Spaces,
    /// The user namespace that its mounts belong to, where it is not ours. That of the process may lie deeper: where there
    /// is one id only, a user other than root is that one.
    users: Option<OwnedFd>,
    /// A process of it whose users are others than those.
    inhabitant: Option<OwnedFd>,
    /// Its root folder, where it was changed without a mount namespace.
    root: Option<OwnedFd>,
}

impl Target {
    /// The container whose first process has this number and started then (field 22 of `/proc/<pid>/stat`); `init`: that one is
    /// ours, and the program its child.
    ///
    /// # Errors
    /// It has ended; or we are not who may join it.
    pub fn open(pid: i32, started: u64, isolation: Isolation, init: bool) -> Result<Self, StartError> {
        match Self::of(pid, Some(started), isolation, init) {
            // Nobody may look into ours, not even we from outside; its child serves as well.
            Err(refused @ StartError::Setup { errno, .. }) if init && is_refusal(errno) => match first_child(pid) {
                Some(child) => {
                    let target = Self::of(child, None, isolation, false)?;
                    // Its number could have become another's until it was open.
                    if children(pid).contains(&child) { Ok(target) } else { Err(ended(child)) }
                }
                None => Err(refused),
            },
            other => other,
        }
    }

    fn of(pid: i32, started: Option<u64>, isolation: Isolation, init: bool) -> Result<Self, StartError> {
        let number = Pid::from_raw(pid).ok_or_else(|| ended(pid))?;
        let pidfd = match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Err(ended(pid)),
            other => other.map_err(|errno| StartError::setup("pidfd_open", errno))?,
        };
        if started.is_some() && sys::process::start_time(pid).ok() != started {
            return Err(ended(pid));
        }
        let mut target = Self { pid, pidfd, spaces: Spaces::empty(), users: None, inhabitant: None, root: None };
        match isolation {
            Isolation::Namespaces => target.compare(init)?,
            Isolation::Chroot => target.root = Some(open(&format!("/proc/{pid}/root"), OFlags::PATH)?),
        }
        Ok(target)
    }

    fn compare(&mut self, init: bool) -> Result<(), StartError> {
        for (name, space) in SPACES {
            let theirs = format!("/proc/{}/ns/{name}", self.pid);
            if identity(&theirs)? != identity(&format!("/proc/self/ns/{name}"))? {
                self.spaces |= space;
            }
        }
        let mounts = open(&format!("/proc/{}/ns/mnt", self.pid), OFlags::RDONLY)?;
        let own = identity("/proc/self/ns/user")?;
        match sys::ns::owner(&mounts) {
            Ok(users) => {
                let stat = rustix::fs::fstat(&users).map_err(|errno| StartError::setup("fstat", errno))?;
                let outer = (stat.st_dev, stat.st_ino);
                self.users = (outer != own).then_some(users);
                self.inhabitant = self.find_inhabitant(outer, init);
            }
            // It belongs to who is above us: that is the one we are in, as far as we can tell.
            Err(error) if error.errno() == Errno::PERM => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// An init of ours stays in the outer user namespace: then its child tells.
    fn find_inhabitant(&self, outer: (u64, u64), init: bool) -> Option<OwnedFd> {
        let child = first_child(self.pid).filter(|_| init);
        for pid in [Some(self.pid), child].into_iter().flatten() {
            let users = identity(&format!("/proc/{pid}/ns/user"));
            if users.is_ok_and(|users| users != outer)
                && let Some(number) = Pid::from_raw(pid)
                && let Ok(pidfd) = rustix::process::pidfd_open(number, PidfdFlags::empty())
                // A child's number could have become another's until it was open.
                && (pid == self.pid || children(self.pid).contains(&pid))
            {
                return Some(pidfd);
            }
        }
        None
    }

    /// A process whose users the program is to be among, where those are not of the namespace that is entered.
    pub(super) fn inhabitant(&self) -> Option<BorrowedFd<'_>> {
        self.inhabitant.as_ref().map(AsFd::as_fd)
    }

    /// The process.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Moves the caller, which has one thread, into the container. Its children will be in its pid namespace.
    pub(super) fn enter(&self) -> Result<(), StartError> {
        if let Some(users) = &self.users {
            sys::ns::join_users(users)?;
            // Where groups may not be given up, there is one id only and none to gain by them.
            let _ = rustix::thread::set_thread_groups(&[]);
            sys::ns::become_ids(0, 0)?;
        }
        let spaces = self.spaces.difference(Spaces::CONTROL_GROUP);
        if !spaces.is_empty() {
            sys::ns::join(&self.pidfd, spaces)?;
        }
        if let Some(root) = &self.root {
            rustix::process::fchdir(root).map_err(|errno| StartError::setup("fchdir", errno))?;
            rustix::process::chroot(".").map_err(|errno| StartError::setup("chroot", errno))?;
        }
        Ok(())
    }
}

impl Target {
    /// Enters the last of its namespaces, once in its control groups: from inside that one the kernel refuses to enter groups.
    pub(super) fn enter_groups(&self) -> Result<(), StartError> {
        let space = self.spaces.intersection(Spaces::CONTROL_GROUP);
        if space.is_empty() { Ok(()) } else { Ok(sys::ns::join(&self.pidfd, space)?) }
    }
}

fn is_refusal(errno: i32) -> bool {
    [Errno::ACCESS.raw_os_error(), Errno::PERM.raw_os_error()].contains(&errno)
}

fn ended(pid: i32) -> StartError {
    StartError::Invalid(format!("the container's process {pid} has ended"))
}

fn first_child(pid: i32) -> Option<i32> {
    children(pid).into_iter().next()
}

fn children(pid: i32) -> Vec<i32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

fn open(path: &str, flags: OFlags) -> Result<OwnedFd, StartError> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| StartError::setup(format!("open {path}"), errno))
}

/// Which namespace a link of `/proc` leads to.
fn identity(path: &str) -> Result<(u64, u64), StartError> {
    let stat = rustix::fs::statat(rustix::fs::CWD, path, AtFlags::empty());
    stat.map(|stat| (stat.st_dev, stat.st_ino)).map_err(|errno| StartError::setup(format!("stat {path}"), errno))
}
