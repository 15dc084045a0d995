//! Interfaces, addresses, routes and packet rules of a network namespace, by netlink.
//!
//! A [`Socket`] belongs to the network namespace that its maker was in, wherever it is used later: whoever holds it configures
//! that namespace.

mod address;
mod link;
mod message;
mod rules;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::{Error, Result};
use message::{ACK, DUMP, HEADER, Message};

pub use link::{Link, Peer};
pub use rules::{Family, Rules, Table};

/// The longest answer: the kernel sends up to 32 KiB at once.
const ANSWER: usize = 64 << 10;
/// The kind of a message that ends a dump.
const DONE: u16 = 3;
/// The kind of a message that says how a request went.
const ERROR: u16 = 2;

/// A connection to the kernel about one network namespace.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// For interfaces, addresses and routes of the caller's network namespace.
    pub fn route() -> Result<Self> {
        // NETLINK_ROUTE is 0, which is also what no protocol means.
        Self::open(None)
    }

    /// For packet rules of the caller's network namespace.
    pub fn netfilter() -> Result<Self> {
        Self::open(Some(netlink::NETFILTER))
    }

    /// One that another process opened.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd, sequence: 0 }
    }

    fn open(protocol: Option<rustix::net::Protocol>) -> Result<Self> {
        let failed = |call| move |errno| Error::new(call, "netlink", errno);
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
            .map_err(failed("socket"))?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 0)).map_err(failed("bind"))?;
        Ok(Self::from_fd(fd))
    }

    /// Has one thing done; `call` and `name` are what an error names.
    fn request(&mut self, message: Message, call: &'static str, name: &str) -> Result<()> {
        let sequence = self.next();
        self.send(&message.finish(sequence, ACK))?;
        self.answers(sequence, |_, _| ()).map_err(|errno| Error::new(call, name, errno))
    }

    /// Has several things done at once, or none of them; the last one is answered.
    fn batch(&mut self, messages: Vec<Message>, call: &'static str, name: &str) -> Result<()> {
        let mut bytes = Vec::new();
        let (first, count) = (self.sequence + 1, messages.len());
        for (at, message) in messages.into_iter().enumerate() {
            // The frame of a batch is not answered.
            let flags = if at == 0 || at + 1 == count { 0 } else { ACK };
            let sequence = self.next();
            bytes.extend(message.finish(sequence, flags));
        }
        self.send(&bytes)?;
        let last = first + u32::try_from(count).unwrap_or(2) - 2;
        let mut failure = None;
        for sequence in first + 1..=last {
            if let Err(errno) = self.answers(sequence, |_, _| ()) {
                failure.get_or_insert(errno);
                // What fails ends the batch: the kernel may answer no more.
                break;
            }
        }
        failure.map_or(Ok(()), |errno| Err(Error::new(call, name, errno)))
    }

    /// Asks for all of a kind.
    fn dump(&mut self, message: Message, mut each: impl FnMut(u16, &[u8])) -> Result<()> {
        let sequence = self.next();
        self.send(&message.finish(sequence, DUMP))?;
        self.answers(sequence, &mut each).map_err(|errno| Error::new("netlink", "", errno))
    }

    /// Asks for one thing, which comes before the answer that it is done.
    fn get(&mut self, message: Message, mut each: impl FnMut(u16, &[u8])) -> std::result::Result<(), Errno> {
        let sequence = self.next();
        self.send(&message.finish(sequence, ACK)).map_err(|error| error.errno())?;
        self.answers(sequence, &mut each)
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        loop {
            match rustix::net::send(&self.fd, bytes, SendFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::new("send", "netlink", errno)),
            }
        }
    }

    /// Reads the answers to one request up to the one that says how it went.
    fn answers(&self, sequence: u32, mut each: impl FnMut(u16, &[u8])) -> std::result::Result<(), Errno> {
        let mut buffer = vec![0; ANSWER];
        loop {
            let length = match rustix::net::recv(&self.fd, buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            let mut bytes = &buffer[..length];
            while let Some((kind, number, body)) = first(bytes) {
                if number == sequence {
                    match kind {
                        DONE => return Ok(()),
                        ERROR => return outcome(body),
                        _ => each(kind, body),
                    }
                }
                bytes = bytes.get((HEADER + body.len()).next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}

/// The first message: its kind, its number and what is behind its header.
fn first(bytes: &[u8]) -> Option<(u16, u32, &[u8])> {
    let length = usize::try_from(message::number(bytes)?).ok()?;
    let body = bytes.get(HEADER..length)?;
    Some((u16::from_ne_bytes([bytes[4], bytes[5]]), message::number(&bytes[8..])?, body))
}

/// What an answer says of its request.
fn outcome(body: &[u8]) -> std::result::Result<(), Errno> {
    match message::number(body).map(|number| number.cast_signed()) {
        Some(0) => Ok(()),
        Some(error) => Err(Errno::from_raw_os_error(-error)),
        None => Err(Errno::IO),
    }
}

#[cfg(test)]
mod tests;
