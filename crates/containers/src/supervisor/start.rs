//! From a command to a supervisor: the fork, and the answer.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use runtime::channel::{self, Received};
use runtime::container::Mount;
use runtime::ladder::Probe;
use rustix::fs::{Mode, OFlags};
use sys::clone::{Forked, Namespaces};
use sys::lock::Lock;

use super::protocol::{Hello, StartFailure};
use super::streams::{Attachment, Given};
use super::{Handed, Supervisor};
use crate::{Container, Containers};

/// What a supervisor is given.
#[derive(Debug)]
pub struct Start {
    /// All containers.
    pub containers: Containers,
    /// The one.
    pub container: Container,
    /// Its lock, which becomes the supervisor's.
    pub lock: Lock,
    /// What this machine allows; the caller has entered it.
    pub probe: Probe,
    /// What programs of another processor need.
    pub interpreter: Option<Mount>,
    /// Held open while the container runs.
    pub held: Vec<OwnedFd>,
    /// Whether the store has a limit.
    pub limited: bool,
    /// Streams that the container has as they are, where its settings say so.
    pub given: Given,
    /// What its program has besides its streams.
    pub handed: Handed,
    /// What somebody wants who stays: then [`Attached::socket`] goes on with frames.
    pub attached: Option<Attachment>,
}

/// A container that runs.
#[derive(Debug)]
pub struct Attached {
    /// The number of its first process.
    pub pid: i32,
    /// What of that which was asked could not be had, and why.
    pub notes: Vec<String>,
    /// The connection to its supervisor.
    pub socket: OwnedFd,
}

/// Forks a supervisor and waits until the container's program runs. Only in a process of one thread, in the namespaces of the
/// container's rung.
///
/// # Errors
/// Why the container did not start.
pub fn start(start: Start) -> Result<Attached, StartFailure> {
    let (ours, theirs) = channel::pair().map_err(StartFailure::ours)?;
    match sys::clone::fork(Namespaces::NONE).map_err(StartFailure::ours)? {
        Forked::Child => supervise(start, theirs),
        Forked::Parent { .. } => {
            drop((start, theirs));
            hear(ours)
        }
    }
}

/// Waits for the first word.
fn hear(socket: OwnedFd) -> Result<Attached, StartFailure> {
    match channel::receive(&socket, true).map_err(StartFailure::ours)? {
        Received::Packet(bytes, _) => match serde_json::from_slice(&bytes).map_err(StartFailure::ours)? {
            Hello::Started { pid, notes } => Ok(Attached { pid, notes, socket }),
            Hello::Failed(failure) => Err(failure),
        },
        Received::End | Received::Nothing => {
            Err(StartFailure::ours("its supervisor ended before the container was started"))
        }
    }
}

/// The supervisor's whole life, in the child.
fn supervise(start: Start, socket: OwnedFd) -> ! {
    let _bulkhead = sys::clone::Bulkhead;
    if let Err(error) = settle(&start, &socket) {
        drop(super::protocol::send(&socket, &Hello::Failed(StartFailure::ours(error))));
        sys::clone::exit(1);
    }
    let code = Supervisor::begin(start, socket).map_or(1, Supervisor::watch);
    sys::clone::exit(code)
}

/// Leaves the session, the folder and the descriptors of who forked us.
fn settle(start: &Start, socket: &OwnedFd) -> sys::Result<()> {
    let failed = |call| move |errno| sys::Error::new(call, "", errno);
    // Fails only for who leads a session already.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/").map_err(failed("chdir"))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let null = null.map_err(|errno| sys::Error::new("open", "/dev/null", errno))?;
    for number in 0..3 {
        sys::exec::place(&null, number)?;
    }
    let mut keep: Vec<RawFd> = vec![socket.as_raw_fd(), start.lock.file().as_raw_fd(), null.as_raw_fd()];
    keep.extend(start.held.iter().map(AsRawFd::as_raw_fd));
    keep.extend(start.given.all().map(|fd| fd.as_fd().as_raw_fd()));
    keep.extend(start.handed.fds.iter().map(AsRawFd::as_raw_fd));
    sys::exec::close_inherited(3, &keep)
}
