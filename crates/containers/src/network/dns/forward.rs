//! A question by datagram that another server is to answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::message::{self, Outcome};

/// How long a server has.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often servers are asked in all: one that is alone is asked again.
const ATTEMPTS: usize = 3;

/// A question on its way. It has a socket of its own: its port and its number are what an answer must know.
#[derive(Debug)]
pub(super) struct Forward {
    via: Rc<UdpSocket>,
    client: SocketAddr,
    /// As the client sent it.
    packet: Vec<u8>,
    servers: Vec<SocketAddr>,
    attempt: usize,
    socket: UdpSocket,
    id: u16,
    deadline: Instant,
}

impl Forward {
    /// Asks the first server. `None` where none can be asked.
    pub(super) fn begin(
        via: Rc<UdpSocket>,
        client: SocketAddr,
        packet: &[u8],
        servers: Vec<SocketAddr>,
        now: Instant,
    ) -> Option<Self> {
        let packet = packet.to_vec();
        let attempt =
            (0..ATTEMPTS).find_map(|attempt| Some((attempt, ask(&packet, servers[attempt % servers.len()])?)));
        let (attempt, (socket, id)) = attempt?;
        Some(Self { via, client, packet, servers, attempt, socket, id, deadline: now + PATIENCE })
    }

    pub(super) fn client(&self) -> SocketAddr {
        self.client
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Hands the answer on, where one has come; whether it has.
    pub(super) fn answer(&mut self) -> bool {
        let mut buffer = vec![0; super::DATAGRAM];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let answer = &mut buffer[..length];
            if message::id(answer) == Some(self.id) && message::is_answer(answer) {
                message::renumber(answer, message::id(&self.packet).unwrap_or_default());
                drop(self.via.send_to(answer, self.client));
                return true;
            }
        }
        false
    }

    /// Asks the next server; where all were asked, says that nobody answered. Whether the question is still on its way.
    pub(super) fn again(&mut self, now: Instant) -> bool {
        for attempt in self.attempt + 1..ATTEMPTS {
            if let Some((socket, id)) = ask(&self.packet, self.servers[attempt % self.servers.len()]) {
                (self.socket, self.id, self.attempt, self.deadline) = (socket, id, attempt, now + PATIENCE);
                return true;
            }
        }
        drop(self.via.send_to(&message::outcome(&self.packet, Outcome::Failed), self.client));
        false
    }
}

impl AsFd for Forward {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn ask(packet: &[u8], server: SocketAddr) -> Option<(UdpSocket, u16)> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let mut number = [0; 2];
    rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty()).ok()?;
    let id = u16::from_ne_bytes(number);
    let mut packet = packet.to_vec();
    message::renumber(&mut packet, id);
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(server).ok()?;
    socket.send(&packet).ok()?;
    Some((socket, id))
}
