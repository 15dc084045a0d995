//! The socket by which another runtime hands over the container's terminal.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::container::StartError;

const NAME: &str = "tty";

/// A listener in the bundle.
pub(super) struct Console {
    listener: OwnedFd,
    /// Held, for its number is in the path: one of full length is more than an address may have.
    dir: OwnedFd,
}

impl Console {
    pub(super) fn listen(dir: &Path) -> Result<Self, StartError> {
        let failed = |errno| StartError::setup("listen for the runtime's terminal", errno);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        // Not closed on exec: the runtime finds the socket by it.
        let dir = rustix::fs::open(dir, flags, Mode::empty()).map_err(failed)?;
        let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let console = Self { listener: listener.map_err(failed)?, dir };
        let _ = rustix::fs::unlinkat(&console.dir, NAME, rustix::fs::AtFlags::empty());
        let address = SocketAddrUnix::new(console.path()).map_err(failed)?;
        rustix::net::bind(&console.listener, &address).map_err(failed)?;
        rustix::net::listen(&console.listener, 1).map_err(failed)?;
        Ok(console)
    }

    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}/{NAME}", self.dir.as_raw_fd())
    }

    /// The terminal, which the runtime has sent by the time it has made the container.
    pub(super) fn take(self) -> Result<OwnedFd, StartError> {
        let failed = |errno| StartError::setup("take the runtime's terminal", errno);
        rustix::io::ioctl_fionbio(&self.listener, true).map_err(failed)?;
        let socket = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC).map_err(failed)?;
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [std::io::IoSliceMut::new(&mut bytes)];
        rustix::net::recvmsg(&socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC).map_err(failed)?;
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        fd.ok_or_else(|| StartError::Invalid("the runtime sent no terminal".to_owned()))
    }
}
