//! Packets with descriptors, between processes that are one program.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};

/// The longest packet; what is longer goes by a file in memory.
pub const PACKET_LIMIT: usize = 64 << 10;
/// The most descriptors that the kernel takes in one packet (SCM_MAX_FD).
pub const FDS_LIMIT: usize = 253;

/// What arrived.
#[derive(Debug)]
pub enum Received {
    /// A packet, with its descriptors.
    Packet(Vec<u8>, Vec<OwnedFd>),
    /// Nothing yet (only of a receive that doesn't block).
    Nothing,
    /// The other side is closed.
    End,
}

/// Two ends, closed on exec.
///
/// # Errors
/// The kernel's refusal.
pub fn pair() -> sys::Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|errno| sys::Error::new("socketpair", "", errno))
}

/// Sends one packet. A closed other side is an EPIPE, never a signal.
///
/// # Errors
/// The kernel's refusal.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> sys::Result<()> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_LIMIT))];
    let mut control = SendAncillaryBuffer::new(if fds.is_empty() { &mut [] } else { &mut space });
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(sys::Error::new("sendmsg", "", Errno::TOOBIG));
    }
    loop {
        match rustix::net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(sys::Error::new("sendmsg", "", errno)),
        }
    }
}

/// Receives one packet; without `block`, only one that is there.
///
/// # Errors
/// The kernel's refusal; a connection that was reset has ended.
pub fn receive(socket: impl AsFd, block: bool) -> sys::Result<Received> {
    let mut bytes = vec![0; PACKET_LIMIT];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_LIMIT))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | if block { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    loop {
        match rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
            Ok(received) if received.bytes == 0 => return Ok(Received::End),
            Ok(received) => {
                bytes.truncate(received.bytes);
                let mut fds = Vec::new();
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = message {
                        fds.extend(rights);
                    }
                }
                return Ok(Received::Packet(bytes, fds));
            }
            Err(Errno::AGAIN) => return Ok(Received::Nothing),
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(Received::End),
            Err(errno) => return Err(sys::Error::new("recvmsg", "", errno)),
        }
    }
}
