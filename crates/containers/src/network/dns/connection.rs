//! Questions by TCP: two bytes of length before each message (RFC 1035, 4.2.2).

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::message::{self, Outcome};
use super::{Asker, Decision};

/// How long a connection lasts in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest question that is read.
const QUESTION: usize = 4096;
/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;

/// A container's connection, and ours to another server while a question is with it.
#[derive(Debug)]
pub(super) struct Connection {
    asker: Asker,
    stream: TcpStream,
    inbound: Vec<u8>,
    outbound: Vec<u8>,
    upstream: Option<Upstream>,
    deadline: Instant,
}

#[derive(Debug)]
struct Upstream {
    stream: TcpStream,
    question: Vec<u8>,
    outbound: Vec<u8>,
    inbound: Vec<u8>,
    others: Vec<SocketAddr>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, asker: Asker, now: Instant) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        let (inbound, outbound) = (Vec::new(), Vec::new());
        Some(Self { asker, stream, inbound, outbound, upstream: None, deadline: now + PATIENCE })
    }

    pub(super) fn client(&self) -> IpAddr {
        self.asker.client
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How many sockets it waits for: as many as [`Connection::interests`] adds.
    pub(super) fn sockets(&self) -> usize {
        usize::from(self.wants().is_some()) + usize::from(self.upstream.is_some())
    }

    /// What the client's socket is to be waited for. One question at a time: no more is read while another server has one, and its
    /// socket is then waited for by nobody, as one that was hung up would be ready all the time.
    fn wants(&self) -> Option<PollFlags> {
        match (self.outbound.is_empty(), self.upstream.is_some()) {
            (false, _) => Some(PollFlags::OUT),
            (true, false) => Some(PollFlags::IN),
            (true, true) => None,
        }
    }

    pub(super) fn interests<'c>(&'c self, set: &mut Vec<PollFd<'c>>) {
        set.extend(self.wants().map(|wants| PollFd::new(&self.stream, wants)));
        if let Some(upstream) = &self.upstream {
            let wants = if upstream.outbound.is_empty() { PollFlags::IN } else { PollFlags::OUT };
            set.push(PollFd::new(&upstream.stream, wants));
        }
    }

    /// Goes on as far as it can without waiting. Whether the connection lives.
    pub(super) fn pump(&mut self, decide: impl FnMut(&[u8], Asker) -> Decision) -> bool {
        if let Some(upstream) = &mut self.upstream {
            match upstream.pump() {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    self.outbound.extend(framed(&answer));
                    self.upstream = None;
                }
                Err(()) => {
                    let (question, others) =
                        (std::mem::take(&mut upstream.question), std::mem::take(&mut upstream.others));
                    self.ask(question, others);
                }
            }
        }
        write(&mut self.stream, &mut self.outbound) && self.take(decide)
    }

    /// Reads questions while nothing else is to be done.
    fn take(&mut self, mut decide: impl FnMut(&[u8], Asker) -> Decision) -> bool {
        while self.upstream.is_none() && self.outbound.is_empty() {
            let question = match message_in(&self.inbound) {
                Some(length) if length > QUESTION => return false,
                Some(length) if self.inbound.len() >= 2 + length => {
                    let question = self.inbound[2..2 + length].to_vec();
                    self.inbound.drain(..2 + length);
                    question
                }
                _ => match read(&mut self.stream, &mut self.inbound) {
                    Some(true) => continue,
                    Some(false) => return true,
                    None => return false,
                },
            };
            match decide(&question, self.asker) {
                Decision::Drop => return false,
                Decision::Answer(answer) => self.outbound.extend(framed(&answer)),
                Decision::Ask(servers) => self.ask(question, servers),
            }
            if !write(&mut self.stream, &mut self.outbound) {
                return false;
            }
        }
        true
    }

    fn ask(&mut self, question: Vec<u8>, mut servers: Vec<SocketAddr>) {
        self.upstream = None;
        while !servers.is_empty() {
            let server = servers.remove(0);
            if let Some(stream) = connect(server) {
                let (outbound, inbound) = (framed(&question), Vec::new());
                self.upstream = Some(Upstream { stream, question, outbound, inbound, others: servers });
                return;
            }
        }
        self.outbound.extend(framed(&message::outcome(&question, Outcome::Failed)));
    }
}

impl Upstream {
    /// The answer, once it is whole.
    fn pump(&mut self) -> Result<Option<Vec<u8>>, ()> {
        if !write(&mut self.stream, &mut self.outbound) {
            return Err(());
        }
        loop {
            if let Some(length) = message_in(&self.inbound)
                && self.inbound.len() >= 2 + length
            {
                let answer = self.inbound[2..2 + length].to_vec();
                let ours = message::id(&answer) == message::id(&self.question) && message::is_answer(&answer);
                return if ours { Ok(Some(answer)) } else { Err(()) };
            }
            match read(&mut self.stream, &mut self.inbound) {
                Some(true) => {}
                Some(false) => return Ok(None),
                None => return Err(()),
            }
        }
    }
}

/// The length of the message that begins here.
fn message_in(bytes: &[u8]) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?)))
}

fn framed(message: &[u8]) -> Vec<u8> {
    // No message is longer than what came in such a frame.
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), message].concat()
}

/// Writes what can be written. Whether the other side is there.
fn write(stream: &mut TcpStream, outbound: &mut Vec<u8>) -> bool {
    while !outbound.is_empty() {
        match stream.write(outbound) {
            Ok(0) => return false,
            Ok(written) => drop(outbound.drain(..written)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return true,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

/// Reads once: whether something came. `None`: the other side is gone.
fn read(stream: &mut TcpStream, inbound: &mut Vec<u8>) -> Option<bool> {
    let mut chunk = [0; CHUNK];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return None,
            Ok(length) => {
                inbound.extend_from_slice(&chunk[..length]);
                return Some(true);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                return Some(false);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// A connection that is being made.
fn connect(server: SocketAddr) -> Option<TcpStream> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).ok()?;
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Some(TcpStream::from(socket)),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::message::A;
    use super::super::message::tests::question;
    use super::*;

    #[test]
    fn a_client_that_hung_up_is_not_ready_while_another_server_works() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, from) = listener.accept().unwrap();
        let asker = Asker { client: from.ip(), gateway: from.ip() };
        let mut connection = Connection::new(stream, asker, Instant::now()).unwrap();
        client.write_all(&framed(&question("example.org", A))).unwrap();
        let server = silent.local_addr().unwrap();
        while connection.upstream.is_none() {
            assert!(connection.pump(|_, _| Decision::Ask(vec![server])));
        }
        // The question is sent on.
        while connection.upstream.as_ref().is_some_and(|upstream| !upstream.outbound.is_empty()) {
            assert!(connection.pump(|_, _| Decision::Drop));
        }
        // Closed with something unread, it is reset.
        client.write_all(b"x").unwrap();
        drop(client);
        std::thread::sleep(Duration::from_millis(50));
        let mut set = Vec::new();
        connection.interests(&mut set);
        assert_eq!(set.len(), connection.sockets());
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut set, Some(&now)), Ok(0));
    }
}
