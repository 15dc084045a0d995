//! Asking a supervisor.

use std::os::fd::OwnedFd;
use std::time::Duration;

use runtime::channel::{self, Received};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::layout::Folder;
use crate::supervisor::protocol::{self, Reply, Request};

/// Why a supervisor gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: the container does not run.
    #[error("it does not run")]
    NotRunning,
    /// It went away, or was killed, before it answered.
    #[error("its supervisor ended before it answered")]
    Ended,
    /// It did not answer in time.
    #[error("its supervisor did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It said something else.
    #[error("its supervisor answered something else: {0}")]
    Answer(serde_json::Error),
    /// The kernel refused.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

/// A connection to a container's supervisor.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`].
    pub fn connect(folder: &Folder) -> Result<Self, ClientError> {
        let failed = |call| move |errno| ClientError::Sys(sys::Error::new(call, folder.control(), errno));
        let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let socket = rustix::net::socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, None).map_err(failed("socket"))?;
        let (_dir, address) = crate::supervisor::address(folder.path()).map_err(|_| ClientError::NotRunning)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => Ok(Self { socket }),
            Err(Errno::NOENT | Errno::CONNREFUSED) => Err(ClientError::NotRunning),
            Err(errno) => Err(failed("connect")(errno)),
        }
    }

    /// Asks, without waiting for the answer.
    ///
    /// # Errors
    /// [`ClientError::Ended`].
    pub fn send(&self, request: &Request) -> Result<(), ClientError> {
        match protocol::send(&self.socket, request) {
            Err(error) if matches!(error.errno(), Errno::PIPE | Errno::CONNRESET) => Err(ClientError::Ended),
            other => Ok(other?),
        }
    }

    /// Waits for the answer, so long at most.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn receive(&self, patience: Option<Duration>) -> Result<Reply, ClientError> {
        if let Some(patience) = patience {
            let timeout =
                Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() };
            if poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout)) == Ok(0) {
                return Err(ClientError::Silent(patience));
            }
        }
        match channel::receive(&self.socket, true)? {
            Received::Packet(bytes, _) => serde_json::from_slice(&bytes).map_err(ClientError::Answer),
            Received::End | Received::Nothing => Err(ClientError::Ended),
        }
    }

    /// Asks and waits.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask(&self, request: &Request, patience: Option<Duration>) -> Result<Reply, ClientError> {
        self.send(request)?;
        self.receive(patience)
    }

    /// The connection itself, to go on with frames.
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }
}
