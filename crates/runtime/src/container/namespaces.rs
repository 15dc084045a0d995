//! The namespaces that a container gets, shares, or leaves alone.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use sys::clone::{Forked, Namespaces as Flags};
use sys::ns::Joined;

use super::boundary::Namespace;
use super::error::StartError;
use super::spec::{Isolation, Network, Spec};
use crate::cgroup::Group;
use crate::channel::{self, Received};

/// Processes whose namespaces are shared, and the network.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// By their place in [`super::Stdio::files`].
    processes: Vec<(usize, OwnedFd)>,
    /// A process whose users a guest is among, where they are not those of the namespace that it entered.
    pub(super) host: Option<OwnedFd>,
}

impl Shared {
    /// For a guest of the container whose users are those of this process.
    pub(super) fn guest(host: Option<OwnedFd>) -> Self {
        Self { processes: Vec::new(), host }
    }

    pub(super) fn add(&mut self, index: usize, process: OwnedFd) {
        self.processes.push((index, process));
    }

    pub(super) fn get(&self, index: usize) -> Result<&OwnedFd, StartError> {
        let found = self.processes.iter().find(|(at, _)| *at == index);
        found.map(|(_, fd)| fd).ok_or_else(|| StartError::Invalid(format!("no descriptor {index} of what is shared")))
    }
}

/// Clones the container's first process into what is its own, and into the processes that it shares; and says whether it is in
/// its control group already.
pub(super) fn fork(spec: &Spec, shared: &Shared, group: &Group) -> Result<(Forked, bool), StartError> {
    let wanted = flags(spec);
    let Namespace::Joined { index } = spec.boundary.namespaces.pid else { return clone(wanted, group) };
    // A process never changes its own pid namespace, only that of its children, and may not go back: a child makes our child there.
    let (ours, theirs) = channel::pair()?;
    let Forked::Parent { pid: middle, .. } = sys::clone::fork(Flags::NONE)? else {
        let made = shared.get(index).and_then(|process| Ok(sys::ns::join(process, Joined::PROCESS_ID)?));
        match made.and_then(|()| Ok(sys::clone::fork(wanted | Flags::SIBLING)?)) {
            Ok(Forked::Child) => return Ok((Forked::Child, false)),
            Ok(Forked::Parent { pid, pidfd }) => {
                let told = channel::send(&theirs, &pid.to_ne_bytes(), &[pidfd.as_fd()]);
                sys::clone::exit(u8::from(told.is_err()));
            }
            Err(error) => {
                // Where even this fails, our end says so.
                let _ = channel::send(&theirs, error.to_string().as_bytes(), &[]);
                sys::clone::exit(1);
            }
        }
    };
    drop(theirs);
    let received = channel::receive(&ours, true);
    sys::clone::wait(middle, true)?;
    match received? {
        Received::Packet(bytes, mut fds) => match (<[u8; 4]>::try_from(bytes.as_slice()), fds.pop()) {
            (Ok(pid), Some(pidfd)) => Ok((Forked::Parent { pid: i32::from_ne_bytes(pid), pidfd }, false)),
            _ => Err(StartError::Invalid(format!("share the processes: {}", String::from_utf8_lossy(&bytes)))),
        },
        Received::End | Received::Nothing => Err(StartError::setup("share the processes", Errno::SRCH)),
    }
}

fn flags(spec: &Spec) -> Flags {
    if spec.isolation == Isolation::Chroot {
        return Flags::NONE;
    }
    let of = &spec.boundary.namespaces;
    let kinds = [(of.pid, Flags::PID), (of.ipc, Flags::IPC), (of.uts, Flags::UTS), (of.cgroup, Flags::CGROUP)];
    let own = kinds.into_iter().filter(|(whose, _)| *whose == Namespace::Own).map(|(_, flag)| flag);
    let network = if spec.network == Network::None { Flags::NET } else { Flags::NONE };
    own.fold(Flags::MOUNT | network, |all, flag| all | flag)
}

fn clone(wanted: Flags, group: &Group) -> Result<(Forked, bool), StartError> {
    if let Some(folder) = group.folder()
        && let Ok(forked) = sys::clone::fork_into(wanted, folder.as_fd())
    {
        return Ok((forked, true));
    }
    match sys::clone::fork(wanted) {
        // A kernel without control groups has no namespaces of them either.
        Err(error) if error.errno() == Errno::INVAL => Ok((sys::clone::fork(wanted.without(Flags::CGROUP))?, false)),
        other => Ok((other?, false)),
    }
}

/// In the container's first process: enters what it shares besides processes and users.
pub(super) fn join(spec: &Spec, shared: &Shared) -> Result<(), StartError> {
    let of = &spec.boundary.namespaces;
    let kinds = [
        (of.ipc, Joined::INTER_PROCESS_COMMUNICATION),
        (of.uts, Joined::HOST_NAME_AND_NIS_DOMAIN_NAME),
        (of.cgroup, Joined::CONTROL_GROUP),
    ];
    for (whose, kind) in kinds {
        if let Namespace::Joined { index } = whose {
            sys::ns::join(shared.get(index)?, kind)?;
        }
    }
    Ok(())
}

/// The `/dev/shm` of whom messages are shared with; `None` where it gets one of its own.
pub(super) fn shm(spec: &Spec, shared: &Shared) -> Result<Option<OwnedFd>, StartError> {
    match spec.boundary.namespaces.ipc {
        Namespace::Own => Ok(None),
        // A host without one has none to share.
        Namespace::Host => Ok(sys::mount::copy_path(Path::new("/dev/shm"), true).ok()),
        Namespace::Joined { index } => shm_of(shared.get(index)?).map(Some),
    }
}

/// A mount can be copied only in the mount namespace that it is in: a child goes there, and hands the copy out.
fn shm_of(process: &OwnedFd) -> Result<OwnedFd, StartError> {
    let (ours, theirs) = channel::pair()?;
    let process = process.try_clone().map_err(|error| sys::Error::from_io("dup", "", &error))?;
    let child = sys::fork::child(move || {
        let handed = sys::ns::join(&process, Joined::MOUNT)
            .and_then(|()| sys::mount::copy_path(Path::new("/dev/shm"), false))
            .and_then(|mount| channel::send(&theirs, b"shm", &[mount.as_fd()]));
        u8::from(handed.is_err())
    })?;
    let received = channel::receive(&ours, true);
    child.wait()?;
    match received? {
        Received::Packet(_, mut fds) if fds.len() == 1 => {
            fds.pop().ok_or_else(|| StartError::setup("share /dev/shm", Errno::NOENT))
        }
        _ => Err(StartError::Invalid("the container whose messages are shared has no /dev/shm".to_owned())),
    }
}
