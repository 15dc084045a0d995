//! Connections: spliced from socket to socket, both ways, until both have ended.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, sockopt};
use rustix::pipe::{PipeFlags, SpliceFlags};

use super::Token;
use crate::network::claim::Claim;

/// Bytes under way in one direction; less where the kernel gives this user no more.
const PIPE: usize = 512 << 10;

/// How often bytes are moved for one connection before the others have their turn.
const ROUNDS: usize = 16;

/// All connections.
#[derive(Debug)]
pub(super) struct Connections {
    places: Vec<Place>,
    free: Vec<usize>,
    most: usize,
    targets: Vec<IpAddr>,
    /// Those that can go on.
    ready: Vec<usize>,
}

#[derive(Debug, Default)]
struct Place {
    age: u32,
    connection: Option<Connection>,
    /// Whether it stands in `ready`.
    listed: bool,
}

#[derive(Debug)]
struct Connection {
    outer: OwnedFd,
    inner: OwnedFd,
    port: u16,
    /// Which of the targets is tried; `None` once one has answered.
    trying: Option<usize>,
    inward: Flow,
    outward: Flow,
}

/// One direction.
#[derive(Debug)]
struct Flow {
    exit: OwnedFd,
    entry: OwnedFd,
    /// Bytes in the pipe.
    held: usize,
    size: usize,
    /// Whether the source has ended.
    ended: bool,
    /// Whether the target has been told.
    told: bool,
}

/// What became of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It waits for its sockets.
    Waits,
    /// It could go on at once.
    More,
    /// It is over.
    Over,
}

impl Connections {
    pub(super) fn new(most: usize, targets: Vec<IpAddr>) -> Self {
        Self { places: Vec::new(), free: Vec::new(), most: most.max(1), targets, ready: Vec::new() }
    }

    pub(super) fn has_room(&self) -> bool {
        self.places.len() - self.free.len() < self.most
    }

    pub(super) fn are_unfinished(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes all that wait. Gives whether some are left because there is no room.
    pub(super) fn accept(&mut self, epoll: &OwnedFd, claim: &Claim) -> bool {
        loop {
            if !self.has_room() {
                return true;
            }
            match rustix::net::accept_with(&claim.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(outer) => self.begin(epoll, outer, claim.published.container.port),
                Err(Errno::AGAIN) => return false,
                // The table of the process or the machine is full.
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => return true,
                // That one has gone already; the next one may not have.
                Err(_) => {}
            }
        }
    }

    fn begin(&mut self, epoll: &OwnedFd, outer: OwnedFd, port: u16) {
        let opened = (|| {
            let (trying, inner) = connect_any(&self.targets, 0, port)?;
            let _ = sockopt::set_tcp_nodelay(&outer, true);
            Ok::<_, Errno>((trying, inner, Flow::new()?, Flow::new()?))
        })();
        let (trying, inner, inward, outward) = match opened {
            Ok(opened) => opened,
            Err(_) => return refuse(&outer),
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() - 1
        });
        let Some(place) = self.places.get_mut(index) else { return };
        let token = Token::Connection { index, age: place.age };
        let connection = Connection { outer, inner, port, trying: Some(trying), inward, outward };
        let watched = watch(epoll, &connection.outer, token).and_then(|()| watch(epoll, &connection.inner, token));
        place.connection = Some(connection);
        if watched.is_err() {
            self.end(index);
        }
    }

    /// Notes that a connection can go on.
    pub(super) fn ready(&mut self, index: usize, age: u32) {
        if let Some(place) = self.places.get_mut(index)
            && place.age == age
            && place.connection.is_some()
            && !place.listed
        {
            place.listed = true;
            self.ready.push(index);
        }
    }

    /// Lets all go on that can, a little each.
    pub(super) fn go_on(&mut self, epoll: &OwnedFd) {
        for index in std::mem::take(&mut self.ready) {
            let Some(place) = self.places.get_mut(index) else { continue };
            place.listed = false;
            let age = place.age;
            let Some(connection) = &mut place.connection else { continue };
            match connection.go_on(epoll, &self.targets, Token::Connection { index, age }) {
                Outcome::Waits => {}
                Outcome::More => self.ready(index, age),
                Outcome::Over => self.end(index),
            }
        }
    }

    fn end(&mut self, index: usize) {
        if let Some(place) = self.places.get_mut(index) {
            place.connection = None;
            place.age = place.age.wrapping_add(1) & 0x00ff_ffff;
            self.free.push(index);
        }
    }
}

fn watch(epoll: &OwnedFd, socket: &OwnedFd, token: Token) -> Result<(), Errno> {
    use epoll::EventFlags as Flags;
    epoll::add(epoll, socket, token.data(), Flags::IN | Flags::OUT | Flags::RDHUP | Flags::ET)
}

/// Ends a connection as if nobody had listened.
fn refuse(outer: &OwnedFd) {
    let _ = sockopt::set_socket_linger(outer, Some(Duration::ZERO));
}

/// Begins to connect to the first target, from `first` on, that is not refused at once.
fn connect_any(targets: &[IpAddr], first: usize, port: u16) -> Result<(usize, OwnedFd), Errno> {
    let mut last = Errno::CONNREFUSED;
    for (index, target) in targets.iter().enumerate().skip(first) {
        match connect(SocketAddr::new(*target, port)) {
            Ok(socket) => return Ok((index, socket)),
            Err(errno) => last = errno,
        }
    }
    Err(last)
}

fn connect(target: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    let _ = sockopt::set_tcp_nodelay(&socket, true);
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

impl Connection {
    fn go_on(&mut self, epoll: &OwnedFd, targets: &[IpAddr], token: Token) -> Outcome {
        if let Some(tried) = self.trying {
            match self.arrived() {
                Ok(false) => return Outcome::Waits,
                Ok(true) => self.trying = None,
                Err(_) => return self.try_next(epoll, targets, tried + 1, token),
            }
        }
        for _ in 0..ROUNDS {
            let moved = self
                .inward
                .go_on(&self.outer, &self.inner)
                .and_then(|one| Ok(self.outward.go_on(&self.inner, &self.outer)? | one));
            match moved {
                Ok(true) => {}
                Ok(false) if self.inward.told && self.outward.told => return Outcome::Over,
                Ok(false) => return Outcome::Waits,
                Err(_) => {
                    // What one side broke off, the other shall not take for an end.
                    refuse(&self.outer);
                    refuse(&self.inner);
                    return Outcome::Over;
                }
            }
        }
        Outcome::More
    }

    /// Whether the inner socket is connected.
    fn arrived(&self) -> Result<bool, Errno> {
        sockopt::socket_error(&self.inner)??;
        match rustix::net::getpeername(&self.inner) {
            Ok(_) => Ok(true),
            Err(Errno::NOTCONN) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn try_next(&mut self, epoll: &OwnedFd, targets: &[IpAddr], next: usize, token: Token) -> Outcome {
        let connected = connect_any(targets, next, self.port).and_then(|(trying, inner)| {
            watch(epoll, &inner, token)?;
            Ok((trying, inner))
        });
        match connected {
            Ok((trying, inner)) => {
                (self.trying, self.inner) = (Some(trying), inner);
                Outcome::Waits
            }
            Err(_) => {
                refuse(&self.outer);
                Outcome::Over
            }
        }
    }
}

impl Flow {
    fn new() -> Result<Self, Errno> {
        let (exit, entry) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let size = rustix::pipe::fcntl_setpipe_size(&entry, PIPE).unwrap_or(64 << 10);
        Ok(Self { exit, entry, held: 0, size, ended: false, told: false })
    }

    /// Moves what can be moved. Gives whether anything could.
    fn go_on(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<bool, Errno> {
        let mut moved = false;
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        if !self.ended && self.held < self.size {
            match rustix::pipe::splice(from, None, &self.entry, None, self.size - self.held, flags) {
                Ok(0) => self.ended = true,
                Ok(length) => {
                    self.held += length;
                    moved = true;
                }
                // Nothing there, or the pipe is full of little pieces: then what follows makes room.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        if self.held > 0 {
            match rustix::pipe::splice(&self.exit, None, to, None, self.held, flags) {
                Ok(length) => {
                    self.held -= length;
                    moved |= length > 0;
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        if self.ended && self.held == 0 && !self.told {
            self.told = true;
            // Refused where the other side is gone; then there is nobody to tell.
            let _ = rustix::net::shutdown(to, Shutdown::Write);
        }
        Ok(moved)
    }
}
