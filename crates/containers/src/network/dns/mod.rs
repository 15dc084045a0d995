//! The name server of the user's networks: answers for containers, hands all else on.
//!
//! It has a place in the keeper's loop: [`Server::interests`] says what it waits for, [`Server::turn`] does what can be done. What
//! a container can make it hold is bounded, for each container by itself.

mod connection;
mod forward;
mod message;
mod upstream;
mod zone;

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::lease::Leases;
use connection::Connection;
use forward::Forward;
use message::{Outcome, Read};
use upstream::Upstream;
use zone::Known;

/// Where servers listen.
pub const PORT: u16 = 53;
/// Questions that wait for other servers' answers; each holds a socket.
const FORWARDS: usize = 256;
/// Those of one container.
const FORWARDS_EACH: usize = 64;
/// Open connections.
const CONNECTIONS: usize = 64;
/// Those of one container.
const CONNECTIONS_EACH: usize = 16;
/// The longest datagram.
const DATAGRAM: usize = 64 << 10;
/// Datagrams that are read before others have their turn.
const BURST: usize = 32;

/// The server, on all gateways.
#[derive(Debug, Default)]
pub struct Server {
    listeners: Vec<Listener>,
    forwards: Vec<Forward>,
    connections: Vec<Connection>,
    upstream: Upstream,
    /// Counts answers, so that of several containers with one name each is the first now and then.
    turn: usize,
}

#[derive(Debug)]
struct Listener {
    gateway: IpAddr,
    datagrams: Rc<UdpSocket>,
    streams: TcpListener,
}

impl Server {
    /// Listens on one more gateway.
    ///
    /// # Errors
    /// The kernel's.
    pub fn listen(&mut self, gateway: IpAddr, datagrams: UdpSocket, streams: TcpListener) -> std::io::Result<()> {
        datagrams.set_nonblocking(true)?;
        streams.set_nonblocking(true)?;
        self.listeners.push(Listener { gateway, datagrams: Rc::new(datagrams), streams });
        Ok(())
    }

    /// Whether it listens there.
    pub fn listens(&self, gateway: IpAddr) -> bool {
        self.listeners.iter().any(|listener| listener.gateway == gateway)
    }

    /// Listens there no more.
    pub fn close(&mut self, gateway: IpAddr) {
        self.listeners.retain(|listener| listener.gateway != gateway);
    }

    /// What it waits for, in the order that [`Server::turn`] hears of it.
    pub fn interests(&self) -> Vec<PollFd<'_>> {
        let mut set = Vec::new();
        for listener in &self.listeners {
            set.push(PollFd::new(&*listener.datagrams, PollFlags::IN));
            set.push(PollFd::new(&listener.streams, PollFlags::IN));
        }
        set.extend(self.forwards.iter().map(|forward| PollFd::new(forward, PollFlags::IN)));
        self.connections.iter().for_each(|connection| connection.interests(&mut set));
        set
    }

    /// How long it can wait.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        let forwards = self.forwards.iter().map(Forward::deadline);
        let all = forwards.chain(self.connections.iter().map(Connection::deadline));
        all.min().map(|deadline| deadline.saturating_duration_since(now))
    }

    /// Does what can be done: `ready` says of each interest whether something happened.
    pub fn turn(&mut self, ready: &[bool], leases: &Leases, now: Instant) {
        let mut ready = ready.iter().copied();
        let mut happened = || ready.next().unwrap_or(false);
        let listeners: Vec<(bool, bool)> = self.listeners.iter().map(|_| (happened(), happened())).collect();
        self.forwards.retain_mut(|forward| {
            let answered = happened() && forward.answer();
            !answered && (now < forward.deadline() || forward.again(now))
        });
        let turn = &mut self.turn;
        let upstream = &mut self.upstream;
        self.connections.retain_mut(|connection| {
            let any = (0..connection.sockets()).fold(false, |any, _| happened() || any);
            let alive = !any || connection.pump(|packet, asker| decide(packet, asker, leases, turn, upstream, false));
            alive && now < connection.deadline()
        });
        for (at, (datagrams, streams)) in listeners.into_iter().enumerate() {
            if datagrams {
                self.receive(at, leases, now);
            }
            if streams {
                self.accept(at, now);
            }
        }
    }

    fn receive(&mut self, at: usize, leases: &Leases, now: Instant) {
        let (socket, gateway) = (Rc::clone(&self.listeners[at].datagrams), self.listeners[at].gateway);
        let mut buffer = vec![0; DATAGRAM];
        for _ in 0..BURST {
            let Ok((length, client)) = socket.recv_from(&mut buffer) else { return };
            let packet = &buffer[..length];
            let asker = Asker { client: client.ip(), gateway };
            match decide(packet, asker, leases, &mut self.turn, &mut self.upstream, true) {
                Decision::Drop => {}
                // A container that does not take its answer is no error of ours.
                Decision::Answer(answer) => drop(socket.send_to(&answer, client)),
                Decision::Ask(servers) => {
                    if let Err(answer) = self.forward(&socket, client, packet, servers, now) {
                        drop(socket.send_to(&answer, client));
                    }
                }
            }
        }
    }

    fn forward(
        &mut self,
        via: &Rc<UdpSocket>,
        client: SocketAddr,
        packet: &[u8],
        servers: Vec<SocketAddr>,
        now: Instant,
    ) -> Result<(), Vec<u8>> {
        let of_client = self.forwards.iter().filter(|forward| forward.client().ip() == client.ip()).count();
        let forward = if self.forwards.len() < FORWARDS && of_client < FORWARDS_EACH {
            Forward::begin(Rc::clone(via), client, packet, servers, now)
        } else {
            None
        };
        self.forwards.push(forward.ok_or_else(|| message::outcome(packet, Outcome::Failed))?);
        Ok(())
    }

    fn accept(&mut self, at: usize, now: Instant) {
        let gateway = self.listeners[at].gateway;
        while let Ok((stream, client)) = self.listeners[at].streams.accept() {
            let of_client = self.connections.iter().filter(|connection| connection.client() == client.ip()).count();
            if self.connections.len() < CONNECTIONS && of_client < CONNECTIONS_EACH {
                let asker = Asker { client: client.ip(), gateway };
                self.connections.extend(Connection::new(stream, asker, now));
            }
        }
    }
}

/// Who asks, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asker {
    client: IpAddr,
    /// Of the network that the question came by.
    gateway: IpAddr,
}

/// What to do about a packet.
#[derive(Debug)]
enum Decision {
    Drop,
    Answer(Vec<u8>),
    Ask(Vec<SocketAddr>),
}

fn decide(
    packet: &[u8],
    asker: Asker,
    leases: &Leases,
    turn: &mut usize,
    upstream: &mut Upstream,
    datagram: bool,
) -> Decision {
    let question = match message::read(packet) {
        Read::Nothing => return Decision::Drop,
        Read::Other(outcome) => return Decision::Answer(message::outcome(packet, outcome)),
        Read::Question(question) => question,
    };
    match zone::look_up(leases, asker, &question.name, question.kind) {
        Known::Addresses(mut addresses) => {
            *turn = turn.wrapping_add(1);
            let first = *turn % addresses.len();
            addresses.rotate_left(first);
            Decision::Answer(message::addresses(packet, &question, &addresses, datagram))
        }
        Known::Name(name) => Decision::Answer(message::pointer(packet, &question, &name)),
        Known::Nothing => Decision::Answer(message::outcome(packet, Outcome::NoName)),
        Known::Elsewhere => Decision::Answer(message::outcome(packet, Outcome::Refused)),
        Known::Stranger => Decision::Drop,
        Known::Ask(servers) => {
            let servers: Vec<SocketAddr> = if servers.is_empty() {
                upstream.servers()
            } else {
                servers.into_iter().map(|server| SocketAddr::new(server, PORT)).collect()
            };
            if servers.is_empty() {
                Decision::Answer(message::outcome(packet, Outcome::Failed))
            } else {
                Decision::Ask(servers)
            }
        }
    }
}

#[cfg(test)]
mod tests;
