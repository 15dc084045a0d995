//! The single-threaded process that alone clones containers.
//!
//! A process with threads can't clone into new namespaces and run anything but a few calls before exec. So a builder forks
//! its spawner while it still has one thread; later, any of its threads asks over a socket, and gets for each container a
//! socket of its own on which its end is told. The spawner dies with its parent, and its containers with it.

mod serve;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::channel::{self, Received};
use crate::container::{Finished, Spec, StartError, Stdio};

/// The failure of the spawner itself.
#[derive(Debug, thiserror::Error)]
pub enum SpawnerError {
    /// A kernel call failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// The spawner is gone, and its containers with it.
    #[error("the process that starts containers has ended")]
    Gone,
    /// The container didn't start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The parent's handle on its spawner. Usable from many threads; dropping it ends the spawner and its containers.
#[derive(Debug)]
pub struct Spawner {
    requests: OwnedFd,
    pid: i32,
}

/// A container that the spawner started. Dropping it before its end kills it.
#[derive(Debug)]
pub struct Child {
    replies: OwnedFd,
    pid: i32,
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
    finished: Mutex<Option<Finished>>,
}

/// What the spawner says on a container's socket.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    /// The program has taken over; its pidfd comes with this, then our end of its terminal, if it has one.
    Started {
        pid: i32,
    },
    Failed(StartError),
    Finished(Finished),
}

/// What comes with a request besides the specification: the container's socket first, then these in this order, then the
/// descriptors of [`Stdio::files`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Given {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    /// The specification is too long for a packet: it comes as a file in memory.
    spec: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Request<S> {
    given: Given,
    spec: Option<S>,
}

/// A packet's room for anything but the specification.
const HEADROOM: usize = 1024;

impl Spawner {
    /// Forks the spawner. Only a process that has one thread may.
    ///
    /// # Errors
    /// The kernel's refusal; more than one thread.
    pub fn fork() -> Result<Self, SpawnerError> {
        let (ours, theirs) = channel::pair()?;
        let keep = crate::container::prepare()?;
        match sys::clone::fork(sys::clone::Namespaces::NONE)? {
            sys::clone::Forked::Child => serve::run(theirs, keep),
            sys::clone::Forked::Parent { pid, .. } => Ok(Self { requests: ours, pid }),
        }
    }

    /// Starts a container; returns when its program has taken over.
    ///
    /// # Errors
    /// [`SpawnerError::Start`] where the container is at fault.
    pub fn spawn(&self, spec: &Spec, stdio: Stdio) -> Result<Child, SpawnerError> {
        let (ours, theirs) = channel::pair()?;
        self.request(spec, &stdio, &theirs)?;
        drop((theirs, stdio));
        match receive(&ours)? {
            (Reply::Started { pid }, fds) => {
                let mut fds = fds.into_iter();
                let pidfd = fds.next().ok_or(SpawnerError::Gone)?;
                Ok(Child { replies: ours, pid, pidfd, terminal: fds.next(), finished: Mutex::new(None) })
            }
            (Reply::Failed(error), _) => Err(error.into()),
            (Reply::Finished(_), _) => Err(SpawnerError::Gone),
        }
    }

    fn request(&self, spec: &Spec, stdio: &Stdio, socket: &OwnedFd) -> Result<(), SpawnerError> {
        let encoded = |value: Result<Vec<u8>, serde_json::Error>| {
            value.map_err(|error| StartError::Invalid(format!("specification: {error}")))
        };
        let mut given = Given {
            stdin: stdio.stdin.is_some(),
            stdout: stdio.stdout.is_some(),
            stderr: stdio.stderr.is_some(),
            spec: false,
        };
        let mut packet = encoded(serde_json::to_vec(&Request { given, spec: Some(spec) }))?;
        let mut long = None;
        if packet.len() > channel::PACKET_LIMIT - HEADROOM {
            given.spec = true;
            long = Some(sys::memfd::sealed("spec", &encoded(serde_json::to_vec(spec))?)?);
            packet = encoded(serde_json::to_vec(&Request::<Spec> { given, spec: None }))?;
        }
        let mut fds = vec![socket.as_fd()];
        fds.extend([&stdio.stdin, &stdio.stdout, &stdio.stderr].into_iter().flatten().map(AsFd::as_fd));
        fds.extend(long.iter().map(AsFd::as_fd));
        fds.extend(stdio.files.iter().map(AsFd::as_fd));
        channel::send(&self.requests, &packet, &fds).map_err(gone)
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        // It sees the end of the socket, ends its containers, and then itself.
        let _ = rustix::net::shutdown(&self.requests, rustix::net::Shutdown::Both);
        let _ = sys::clone::wait(self.pid, true);
    }
}

fn receive(socket: &OwnedFd) -> Result<(Reply, Vec<OwnedFd>), SpawnerError> {
    match channel::receive(socket, true)? {
        Received::Packet(bytes, fds) => {
            let reply = serde_json::from_slice(&bytes).map_err(|_| SpawnerError::Gone)?;
            Ok((reply, fds))
        }
        Received::Nothing | Received::End => Err(SpawnerError::Gone),
    }
}

/// A socket without another side is a spawner that has ended.
fn gone(error: sys::Error) -> SpawnerError {
    use rustix::io::Errno;
    match error.errno() {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => SpawnerError::Gone,
        _ => error.into(),
    }
}

impl Child {
    /// Its first process, as the spawner sees it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Our end of its terminal, once.
    pub fn terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Waits for its end. Many threads may; all get the same answer.
    ///
    /// # Errors
    /// [`SpawnerError::Gone`].
    pub fn wait(&self) -> Result<Finished, SpawnerError> {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(finished) = &*finished {
            return Ok(finished.clone());
        }
        match receive(&self.replies)? {
            (Reply::Finished(end), _) => Ok(finished.insert(end).clone()),
            (Reply::Failed(error), _) => Err(error.into()),
            (Reply::Started { .. }, _) => Err(SpawnerError::Gone),
        }
    }

    /// Sends a signal to its first process; one that has ended is not an error.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn kill(&self, signal: i32) -> Result<(), SpawnerError> {
        match sys::signal::send_to(&self.pidfd, signal) {
            Err(error) if error.errno() != rustix::io::Errno::SRCH => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// A descriptor that polls readable when its first process has ended (and [`Child::wait`] won't wait for long).
    pub fn pidfd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// The descriptor's number, for the list of those that the spawner keeps.
fn number(fd: &OwnedFd) -> i32 {
    fd.as_raw_fd()
}
