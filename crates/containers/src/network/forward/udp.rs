//! Datagrams: a socket inside for each sender, by which the answers find back.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::Token;
use crate::network::claim::Claim;

/// How long a sender is remembered that says no more, and is said nothing: as long as docker's does.
const IDLE: Duration = Duration::from_secs(90);

/// The longest datagram.
const LONGEST: usize = 64 << 10;

/// How many datagrams are passed on before others have their turn.
const AT_ONCE: usize = 64;

/// All sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    places: Vec<Place>,
    free: Vec<usize>,
    known: HashMap<(usize, SocketAddr), usize>,
    most: usize,
    target: Option<IpAddr>,
    buffer: Vec<u8>,
}

#[derive(Debug, Default)]
struct Place {
    age: u32,
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    listener: usize,
    sender: SocketAddr,
    inner: UdpSocket,
    used: Instant,
}

impl Sessions {
    pub(super) fn new(most: usize, targets: Vec<IpAddr>) -> Self {
        let (places, free, known) = (Vec::new(), Vec::new(), HashMap::new());
        Self { places, free, known, most, target: targets.first().copied(), buffer: vec![0; LONGEST] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Passes inside what came on a port. Gives whether there may be more.
    pub(super) fn receive(&mut self, epoll: &OwnedFd, listener: usize, claim: &Claim) -> bool {
        for _ in 0..AT_ONCE {
            let received = rustix::net::recvfrom(&claim.socket, self.buffer.as_mut_slice(), RecvFlags::DONTWAIT);
            let (length, sender) = match received {
                Ok((length, _, Some(sender))) => (length, sender),
                Err(Errno::AGAIN) => return false,
                // Errors of what was sent before come back here; they are nobody's.
                Ok(_) | Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::INTR) => continue,
                Err(_) => return false,
            };
            let Ok(sender) = SocketAddr::try_from(sender) else { continue };
            let port = claim.published.container.port;
            let Some(index) = self.session(epoll, listener, sender, port) else { continue };
            if let Some(session) = self.places.get_mut(index).and_then(|place| place.session.as_mut()) {
                session.used = Instant::now();
                // Lost, as datagrams may be.
                let _ = session.inner.send(&self.buffer[..length]);
            }
        }
        true
    }

    /// The session of a sender, made where there is none.
    fn session(&mut self, epoll: &OwnedFd, listener: usize, sender: SocketAddr, port: u16) -> Option<usize> {
        if let Some(index) = self.known.get(&(listener, sender)) {
            return Some(*index);
        }
        if self.known.len() >= self.most {
            self.forget_oldest();
        }
        let inner = connect(SocketAddr::new(self.target?, port)).ok()?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() - 1
        });
        let place = self.places.get_mut(index)?;
        let token = Token::Session { index, age: place.age };
        if epoll::add(epoll, &inner, token.data(), epoll::EventFlags::IN).is_err() {
            self.free.push(index);
            return None;
        }
        place.session = Some(Session { listener, sender, inner, used: Instant::now() });
        self.known.insert((listener, sender), index);
        Some(index)
    }

    /// Passes answers back.
    pub(super) fn answer(&mut self, index: usize, age: u32, claims: &[Claim]) {
        let Some(place) = self.places.get_mut(index).filter(|place| place.age == age) else { return };
        let Some(session) = &mut place.session else { return };
        let Some(claim) = claims.get(session.listener) else { return };
        for _ in 0..AT_ONCE {
            // An error says that nobody listens inside: that is told to nobody, as the port itself is there.
            let Ok(length) = session.inner.recv(&mut self.buffer) else { return };
            session.used = Instant::now();
            let _ =
                rustix::net::sendto(claim.socket.as_fd(), &self.buffer[..length], SendFlags::DONTWAIT, &session.sender);
        }
    }

    /// Forgets who has been silent.
    pub(super) fn sweep(&mut self, now: Instant) {
        let silent = |place: &Place| {
            place.session.as_ref().is_some_and(|session| now.saturating_duration_since(session.used) > IDLE)
        };
        let old: Vec<usize> = (0..self.places.len()).filter(|index| silent(&self.places[*index])).collect();
        old.into_iter().for_each(|index| self.forget(index));
    }

    fn forget_oldest(&mut self) {
        let used = |place: &Place| place.session.as_ref().map(|session| session.used);
        let all = self.places.iter().enumerate().filter_map(|(index, place)| Some((used(place)?, index)));
        if let Some((_, index)) = all.min() {
            self.forget(index);
        }
    }

    fn forget(&mut self, index: usize) {
        let Some(place) = self.places.get_mut(index) else { return };
        let Some(session) = place.session.take() else { return };
        place.age = place.age.wrapping_add(1) & 0x00ff_ffff;
        self.known.remove(&(session.listener, session.sender));
        self.free.push(index);
    }
}

fn connect(target: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(target)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::claim;
    use crate::network::ports::parse_publish;

    #[test]
    fn a_flood_on_one_port_has_its_turn_only() {
        let claims = claim::claim(&parse_publish("127.0.0.1::53/udp").unwrap()).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..AT_ONCE + 10 {
            sender.send_to(b"x", claims[0].published.host).unwrap();
        }
        let inside = UdpSocket::bind("127.0.0.9:0").unwrap();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let mut sessions = Sessions::new(4, vec![inside.local_addr().unwrap().ip()]);
        assert!(sessions.receive(&epoll, 0, &claims[0]), "ten are left");
        assert!(!sessions.receive(&epoll, 0, &claims[0]));
    }
}
