//! The forwarder: a process that takes connections and datagrams on ports of the host and passes them on inside.
//!
//! Its listening sockets are made in the host's network; then it joins the container's, in which every further socket of it is
//! made. One thread, one `epoll`; bytes of connections go from socket to socket by `splice` and never through its memory.

mod tcp;
mod udp;

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::process::{Pid, Resource};

use super::claim::Claim;
use super::error::NetworkError;
use super::ports::Protocol;
use super::sidecar::Sidecar;
use tcp::Connections;
use udp::Sessions;

/// Descriptors that are not connections: standard streams, epoll, the namespace, and some to spare.
const RESERVED: usize = 32;

/// A connection: two sockets, and a pipe each way.
const DESCRIPTORS_EACH: usize = 6;

/// How many events are taken at a time.
const EVENTS: usize = 256;

/// How often sessions of datagrams are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// Starts one. `targets` are the container's addresses, the first the one that is tried first.
///
/// # Errors
/// The kernel's refusal.
pub fn start(claims: Vec<Claim>, namespace: BorrowedFd<'_>, targets: &[IpAddr]) -> Result<Sidecar, NetworkError> {
    let parent = rustix::process::getpid();
    let child = sys::fork::child(|| match run(&claims, namespace, targets, parent) {
        Ok(never) => match never {},
        Err(_) => 1,
    })?;
    Sidecar::of(child.pid())
}

fn run(
    claims: &[Claim],
    namespace: BorrowedFd<'_>,
    targets: &[IpAddr],
    parent: Pid,
) -> sys::Result<std::convert::Infallible> {
    sys::signal::reset_handlers();
    // First of all: the connection to the networks' keeper is its parent's alone.
    let mut keep: Vec<RawFd> = vec![namespace.as_raw_fd()];
    keep.extend(claims.iter().map(|claim| claim.socket.as_raw_fd()));
    sys::exec::close_inherited(3, &keep)?;
    sys::ns::join(namespace, sys::ns::Joined::NETWORK)?;
    sys::exec::close_inherited(3, &keep[1..])?;
    give_up_rights(parent)?;
    let room = descriptors().saturating_sub(RESERVED + claims.len());
    let mut forwarder = Forwarder::new(claims, targets, room).map_err(|errno| sys::Error::new("epoll", "", errno))?;
    loop {
        forwarder.turn().map_err(|errno| sys::Error::new("epoll_wait", "", errno))?;
    }
}

/// It needs no right to do what it does.
fn give_up_rights(parent: Pid) -> sys::Result<()> {
    let failed = |call| move |errno| sys::Error::new(call, "", errno);
    let none = rustix::thread::CapabilitySet::empty();
    let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(failed("capset"))?;
    rustix::thread::set_no_new_privs(true).map_err(failed("prctl"))?;
    // Joining and giving up are changes after which the kernel forgets that it is to end with its parent.
    if sys::fork::end_with(parent) { Ok(()) } else { Err(failed("prctl")(Errno::SRCH)) }
}

/// As many descriptors as we may have.
fn descriptors() -> usize {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused, it stays what it was.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    let now = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(1 << 16);
    usize::try_from(now.min(1 << 16)).unwrap_or(1024)
}

/// What an event is about: a kind, a place in its table, and how often that place was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// A claim.
    Listener(usize),
    /// A socket of a connection.
    Connection { index: usize, age: u32 },
    /// A session of datagrams.
    Session { index: usize, age: u32 },
}

const AGES: u64 = (1 << 24) - 1;

impl Token {
    fn data(self) -> epoll::EventData {
        let (kind, index, age) = match self {
            Self::Listener(index) => (0, index, 0),
            Self::Connection { index, age } => (1, index, age),
            Self::Session { index, age } => (2, index, age),
        };
        epoll::EventData::new_u64(kind << 56 | (u64::from(age) & AGES) << 32 | index as u64 & u64::from(u32::MAX))
    }

    fn of(data: epoll::EventData) -> Self {
        let raw = data.u64();
        let (index, age) = ((raw & u64::from(u32::MAX)) as usize, (raw >> 32 & AGES) as u32);
        match raw >> 56 {
            0 => Self::Listener(index),
            1 => Self::Connection { index, age },
            _ => Self::Session { index, age },
        }
    }
}

struct Forwarder<'f> {
    epoll: OwnedFd,
    claims: &'f [Claim],
    connections: Connections,
    sessions: Sessions,
    /// Listeners that have more than could be taken.
    waiting: bool,
    /// Ports whose datagrams are more than had their turn.
    behind: Vec<usize>,
    swept: Instant,
}

impl<'f> Forwarder<'f> {
    fn new(claims: &'f [Claim], targets: &[IpAddr], room: usize) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, claim) in claims.iter().enumerate() {
            epoll::add(
                &epoll,
                &claim.socket,
                Token::Listener(index).data(),
                epoll::EventFlags::IN | epoll::EventFlags::ET,
            )?;
        }
        let has = |protocol| claims.iter().any(|claim| claim.published.container.protocol == protocol);
        // Half of the room for datagrams only where there are some.
        let (connections, sessions) = match (has(Protocol::Tcp), has(Protocol::Udp)) {
            (true, true) => (room / 2, room / 2),
            (_, udp) => (room, if udp { room } else { 0 }),
        };
        Ok(Self {
            epoll,
            claims,
            connections: Connections::new(connections / DESCRIPTORS_EACH, targets.to_vec()),
            sessions: Sessions::new(sessions, targets.to_vec()),
            waiting: false,
            behind: Vec::new(),
            swept: Instant::now(),
        })
    }

    /// Waits for events and deals with them.
    fn turn(&mut self) -> Result<(), Errno> {
        let behind = std::mem::take(&mut self.behind);
        let timeout = if self.connections.are_unfinished() || !behind.is_empty() {
            Some(Duration::ZERO)
        } else if self.sessions.is_empty() {
            None
        } else {
            Some(SWEEP)
        };
        let timeout = timeout.map(|time| Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: 0 });
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        behind.into_iter().for_each(|index| self.take(index));
        for event in events {
            match Token::of(event.data) {
                Token::Listener(index) => self.take(index),
                Token::Connection { index, age } => self.connections.ready(index, age),
                Token::Session { index, age } => self.sessions.answer(index, age, self.claims),
            }
        }
        self.connections.go_on(&self.epoll);
        if self.waiting && self.connections.has_room() {
            self.waiting = false;
            (0..self.claims.len()).for_each(|index| self.take(index));
        }
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            self.sessions.sweep(self.swept);
        }
        Ok(())
    }

    /// Takes what came on a port.
    fn take(&mut self, index: usize) {
        let Some(claim) = self.claims.get(index) else { return };
        match claim.published.container.protocol {
            Protocol::Tcp => self.waiting |= self.connections.accept(&self.epoll, claim),
            Protocol::Udp => {
                if self.sessions.receive(&self.epoll, index, claim) && !self.behind.contains(&index) {
                    self.behind.push(index);
                }
            }
            Protocol::Sctp => {}
        }
    }
}

#[cfg(test)]
mod tests;
