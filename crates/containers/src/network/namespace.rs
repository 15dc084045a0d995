//! A network namespace before anybody lives in it.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use sys::clone::{Forked, Namespaces};

use super::error::NetworkError;

/// Which user namespace rules a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// That of the caller.
    Caller,
    /// One of its own, whose only user is this one of the caller's: so that the program that carries the traffic of a container of
    /// root's is not root.
    Apart {
        /// The user, and the group of the same number.
        id: u32,
    },
}

/// `nobody`, by its number everywhere.
pub const NOBODY: u32 = 65534;

/// Which user namespace rules a network here: containers of the machine's root have an unprivileged carrier.
pub fn owner() -> Owner {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    if whole && rustix::process::geteuid().is_root() { Owner::Apart { id: NOBODY } } else { Owner::Caller }
}

/// What new namespaces are told, as docker tells them: every port is everybody's, and everybody may ping.
const SETTINGS: [(&str, &[&str]); 2] = [
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", &["0"]),
    // The second where not all ids are mapped, the third where one is.
    ("/proc/sys/net/ipv4/ping_group_range", &["0 2147483647", "0 65535", "0 0"]),
];

/// A network namespace with loopback only, and the process that stays in it until others have joined: whose files in `/proc` lead to
/// it, for programs that want a path. Dropped, the process ends; the namespace stays while [`Made::fd`] or a process is left.
#[derive(Debug)]
pub struct Made {
    namespace: OwnedFd,
    users: Option<OwnedFd>,
    pid: i32,
    pidfd: OwnedFd,
    /// While it is open, the process stays.
    door: std::io::PipeWriter,
    /// What is written into [`Made::mailbox`].
    mail: std::io::PipeReader,
    /// The number of the mailbox's descriptor in the process.
    mailbox: std::os::fd::RawFd,
}

/// Makes one. Only in a process with one thread, which rules the user namespace that it is in.
///
/// # Errors
/// The kernel's refusal.
pub fn make(owner: Owner) -> Result<Made, NetworkError> {
    begin(owner, None)
}

/// The same for a namespace that is there, which this process rules.
///
/// # Errors
/// The kernel's refusal.
pub fn at(namespace: BorrowedFd<'_>) -> Result<Made, NetworkError> {
    begin(Owner::Caller, Some(namespace))
}

fn begin(owner: Owner, there: Option<BorrowedFd<'_>>) -> Result<Made, NetworkError> {
    let pipe = || std::io::pipe().map_err(|error| sys::Error::from_io("pipe", "", &error));
    let ((mut go, start), (mut said, say), (mail, mailbox)) = (pipe()?, pipe()?, pipe()?);
    let which = match owner {
        Owner::Caller if there.is_some() => Namespaces::NONE,
        Owner::Caller => Namespaces::NET,
        Owner::Apart { id } => {
            // Opened anew by a process of this user.
            let (user, group) = (rustix::fs::Uid::from_raw(id), rustix::fs::Gid::from_raw(id));
            let given = rustix::fs::fchown(&mailbox, Some(user), Some(group));
            given.map_err(|errno| sys::Error::new("fchown", "pipe", errno))?;
            Namespaces::NET | Namespaces::USER
        }
    };
    let (pid, pidfd) = match sys::clone::fork(which)? {
        Forked::Child => {
            let _bulkhead = sys::clone::Bulkhead;
            drop((start, said, mail));
            let mut sign = [0];
            let settled = || there.map_or_else(|| settle(owner), settle_at);
            if die_with_parent().is_ok() && go.read_exact(&mut sign).is_ok() && settled().is_ok() {
                stay(say, go, &mailbox);
            }
            sys::clone::exit(1)
        }
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    let number = mailbox.as_raw_fd();
    drop((go, say, mailbox));
    let namespace = match there {
        Some(there) => there.try_clone_to_owned().map_err(|error| sys::Error::from_io("dup", "", &error))?,
        None => open(pid, "net")?,
    };
    let mut made = Made { namespace, users: None, pid, pidfd, door: start, mail, mailbox: number };
    if let Owner::Apart { id } = owner {
        let process = pid.to_string();
        for kind in [sys::ns::IdKind::User, sys::ns::IdKind::Group] {
            sys::ns::write_map(&process, kind, &[sys::ns::IdMap { inside: 0, outside: id, count: 1 }])?;
        }
        made.users = Some(open(pid, "user")?);
    }
    let failed = |error: std::io::Error| sys::Error::from_io("make a network namespace", "", &error);
    made.door.write_all(&[1]).map_err(failed)?;
    let mut sign = [0];
    said.read_exact(&mut sign).map_err(failed)?;
    Ok(made)
}

fn open(pid: i32, kind: &str) -> sys::Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/{kind}");
    let opened = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|errno| sys::Error::new("open", path, errno))
}

/// Inside: brings loopback up and sets what can be set.
fn settle(owner: Owner) -> sys::Result<()> {
    if owner != Owner::Caller {
        sys::ns::become_ids(0, 0)?;
        show_files()?;
        die_with_parent()?;
    }
    sys::netif::loopback_up()?;
    for (path, values) in SETTINGS {
        // Comforts: a kernel without them, or a /proc that refuses writes, is no reason to fail.
        let _ = values.iter().any(|value| std::fs::write(path, value).is_ok());
    }
    Ok(())
}

/// Inside, where all is set already.
fn settle_at(namespace: BorrowedFd<'_>) -> sys::Result<()> {
    sys::ns::join(namespace, sys::ns::Joined::NETWORK)?;
    show_files()
}

/// Who carries the traffic has no more rights than this process, and finds the namespaces by its files.
fn show_files() -> sys::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
        .map_err(|errno| sys::Error::new("prctl", "", errno))
}

fn die_with_parent() -> sys::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|errno| sys::Error::new("prctl", "", errno))
}

/// Says that all is ready, and waits for the end; holds nothing else open.
fn stay(mut say: std::io::PipeWriter, mut go: std::io::PipeReader, mailbox: &std::io::PipeWriter) {
    let keep = [say.as_raw_fd(), go.as_raw_fd(), mailbox.as_raw_fd()];
    let _ = sys::exec::close_inherited(3, &keep);
    // Files of a process that may do more than who asks are not shown, and carriers give up what they do not need first.
    let none = rustix::thread::CapabilitySet::empty();
    let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
    let _ = rustix::thread::set_capabilities(None, sets);
    if say.write_all(&[1]).is_ok() {
        let _ = go.read_exact(&mut [0]);
    }
}

impl Made {
    /// The namespace.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// The namespace alone.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn to_fd(&self) -> Result<OwnedFd, NetworkError> {
        let copy = self.namespace.try_clone();
        Ok(copy.map_err(|error| sys::Error::from_io("dup", "", &error))?)
    }

    /// The user namespace that rules it, where that is not the caller's.
    pub fn users(&self) -> Option<BorrowedFd<'_>> {
        self.users.as_ref().map(AsFd::as_fd)
    }

    /// A path that leads to it while this is kept.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.pid).into()
    }

    /// A file that a program inside may write a word to, and where that word is read: programs close descriptors that they inherit.
    pub(super) fn mailbox(&self) -> Result<(PathBuf, OwnedFd), NetworkError> {
        let mail = self.mail.try_clone().map_err(|error| sys::Error::from_io("dup", "", &error))?;
        Ok((format!("/proc/{}/fd/{}", self.pid, self.mailbox).into(), mail.into()))
    }

    /// A file of `/proc/<pid>/net` of a process inside.
    pub(super) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/net/{file}", self.pid)).unwrap_or_default()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = sys::signal::send_to(&self.pidfd, super::sidecar::SIGKILL);
        let _ = sys::clone::wait(self.pid, true);
    }
}
