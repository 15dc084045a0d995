//! A TCP proxy that breaks connections by plan: it cuts, resets, stalls, corrupts, delays and reorders at a given byte.
//!
//! ```text
//! let proxy = fixtures::Proxy::start(server, [fixtures::Rule::after(4096, fixtures::Way::Down, fixtures::Fault::Cut)])?;
//! pull(proxy.address());
//! assert!(proxy.hit());
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What happens at a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends before the byte, as if its peer had closed it.
    Cut,
    /// The connection is reset before the byte.
    Reset,
    /// The connection stays open and nothing more passes this way, until the proxy is dropped.
    Stall,
    /// The byte is another: it is combined with this one by exclusive or.
    Corrupt(u8),
    /// The byte and what follows come so much later.
    Delay(Duration),
    /// So many bytes from here on change places with as many that follow them.
    Swap(usize),
    /// All connections end, and new ones are closed at once, until [`Proxy::heal`].
    Down,
}

/// One fault of a plan. It happens once.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Of which connection bytes are counted, from 0; `None` counts those of all together.
    pub connection: Option<usize>,
    /// Which bytes are counted.
    pub way: Way,
    /// So many bytes pass before.
    pub after: u64,
    /// What happens then.
    pub fault: Fault,
}

impl Rule {
    /// A fault after so many bytes of all connections together.
    #[must_use]
    pub fn after(after: u64, way: Way, fault: Fault) -> Rule {
        Rule { connection: None, way, after, fault }
    }

    /// The same, but counted in one connection alone.
    #[must_use]
    pub fn of_connection(self, number: usize) -> Rule {
        Rule { connection: Some(number), ..self }
    }
}

/// What passed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Connections that came.
    pub connections: usize,
    /// Bytes from clients.
    pub up: u64,
    /// Bytes from the server.
    pub down: u64,
}

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    plan: Vec<Rule>,
    passed: Passed,
    down: bool,
    ended: bool,
    /// Both ends of what is open, to end them from outside.
    open: Vec<(TcpStream, TcpStream)>,
}

impl Proxy {
    /// Listens on a free port of the loopback device and forwards to `server`.
    ///
    /// # Errors
    /// No port can be had.
    pub fn start(server: SocketAddr, plan: impl IntoIterator<Item = Rule>) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State { plan: plan.into_iter().collect(), ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || accept(&listener, server, &shared));
        Ok(Proxy { address, state })
    }

    /// Where it listens: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What passed so far.
    #[must_use]
    pub fn passed(&self) -> Passed {
        lock(&self.state).passed
    }

    /// Whether every fault of the plan has happened.
    #[must_use]
    pub fn hit(&self) -> bool {
        lock(&self.state).plan.is_empty()
    }

    /// From now on everything passes.
    pub fn heal(&self) {
        let mut state = lock(&self.state);
        state.plan.clear();
        state.down = false;
    }

    /// Adds a fault; bytes that have passed already count.
    pub fn plan(&self, rule: Rule) {
        lock(&self.state).plan.push(rule);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.ended = true;
        end(&mut state);
        drop(state);
        // The listener waits for one more connection to see that it is over.
        drop(TcpStream::connect(self.address));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(state: &mut State) {
    for (client, server) in state.open.drain(..) {
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, state: &Arc<Mutex<State>>) {
    while let Ok((client, _)) = listener.accept() {
        let number = {
            let mut state = lock(state);
            if state.ended {
                return;
            }
            if state.down {
                continue;
            }
            state.passed.connections += 1;
            state.passed.connections - 1
        };
        let Ok(server) = TcpStream::connect(server) else { continue };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        if let (Ok(client), Ok(server)) = (client.try_clone(), server.try_clone()) {
            lock(state).open.push((client, server));
        }
        let silent = Arc::new(AtomicBool::new(false));
        for way in [Way::Up, Way::Down] {
            let (Ok(client), Ok(server)) = (client.try_clone(), server.try_clone()) else { continue };
            let line = Line { number, way, client, server, silent: Arc::clone(&silent), state: Arc::clone(state) };
            thread::spawn(move || line.run());
        }
    }
}

/// One direction of a connection.
struct Line {
    number: usize,
    way: Way,
    client: TcpStream,
    server: TcpStream,
    /// Nothing more is told to either end: a reset goes out with the close.
    silent: Arc<AtomicBool>,
    state: Arc<Mutex<State>>,
}

/// What a piece of bytes meets.
struct Met {
    /// Bytes of the piece that pass before.
    before: usize,
    fault: Fault,
}

impl Line {
    fn ends(&self) -> (&TcpStream, &TcpStream) {
        match self.way {
            Way::Up => (&self.client, &self.server),
            Way::Down => (&self.server, &self.client),
        }
    }

    fn run(self) {
        let forwarded = self.forward();
        if self.silent.load(Ordering::Relaxed) {
            return;
        }
        if forwarded.is_ok() {
            // A half-closed connection may still answer.
            let _ = self.ends().1.shutdown(Shutdown::Write);
        } else {
            let _ = self.client.shutdown(Shutdown::Both);
            let _ = self.server.shutdown(Shutdown::Both);
        }
    }

    fn forward(&self) -> io::Result<()> {
        let (mut from, mut to) = self.ends();
        let mut buffer = vec![0; 16 << 10];
        let mut own = 0;
        loop {
            let length = from.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            let mut rest = &mut buffer[..length];
            while let Some(met) = self.count(rest.len(), &mut own) {
                let (before, after) = rest.split_at_mut(met.before);
                to.write_all(before)?;
                rest = after;
                if !self.happens(met.fault, rest)? {
                    rest = &mut [];
                    break;
                }
            }
            to.write_all(rest)?;
        }
    }

    /// Counts a piece up to the first fault in it. The bytes from there on are counted by the next call.
    fn count(&self, length: usize, own: &mut u64) -> Option<Met> {
        let mut state = lock(&self.state);
        let total = if self.way == Way::Up { state.passed.up } else { state.passed.down };
        let found = state.plan.iter().enumerate().filter_map(|(index, rule)| {
            let counted = if rule.connection.is_some() { *own } else { total };
            let mine = rule.way == self.way && rule.connection.is_none_or(|number| number == self.number);
            let before = usize::try_from(rule.after.saturating_sub(counted)).ok()?;
            (mine && before < length).then_some((before, index))
        });
        let found = found.min();
        let passes = found.map_or(length, |(before, _)| before) as u64;
        *own += passes;
        match self.way {
            Way::Up => state.passed.up += passes,
            Way::Down => state.passed.down += passes,
        }
        found.map(|(before, index)| Met { before, fault: state.plan.remove(index).fault })
    }

    /// Whether the rest of the piece still has to be sent.
    fn happens(&self, fault: Fault, rest: &mut [u8]) -> io::Result<bool> {
        match fault {
            Fault::Cut => Err(ErrorKind::ConnectionAborted.into()),
            Fault::Reset => {
                for end in [&self.client, &self.server] {
                    rustix::net::sockopt::set_socket_linger(end, Some(Duration::ZERO))?;
                }
                self.silent.store(true, Ordering::Relaxed);
                // What is shut for reading wakes its reader and tells the peer nothing.
                lock(&self.state).open.retain(|(client, _)| client.peer_addr().ok() != self.client.peer_addr().ok());
                self.client.shutdown(Shutdown::Read)?;
                self.server.shutdown(Shutdown::Both)?;
                Err(ErrorKind::ConnectionReset.into())
            }
            Fault::Stall => {
                while !lock(&self.state).ended {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(ErrorKind::TimedOut.into())
            }
            Fault::Corrupt(mask) => {
                rest[0] ^= mask;
                Ok(true)
            }
            Fault::Delay(time) => {
                thread::sleep(time);
                Ok(true)
            }
            Fault::Swap(length) => self.swap(length, rest).map(|()| false),
            Fault::Down => {
                let mut state = lock(&self.state);
                state.down = true;
                end(&mut state);
                Err(ErrorKind::ConnectionAborted.into())
            }
        }
    }

    /// Gathers twice `length` bytes, or what comes until the sender pauses, and sends the later ones first.
    fn swap(&self, length: usize, rest: &[u8]) -> io::Result<()> {
        let (mut from, mut to) = self.ends();
        let mut held = rest.to_vec();
        from.set_read_timeout(Some(Duration::from_millis(100)))?;
        while held.len() < 2 * length {
            let mut more = vec![0; 2 * length - held.len()];
            match from.read(&mut more) {
                Ok(0) => break,
                Ok(count) => held.extend_from_slice(&more[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => return Err(error),
            }
        }
        from.set_read_timeout(None)?;
        self.count_held(held.len());
        let (pair, tail) = held.split_at(held.len().min(2 * length));
        let (first, second) = pair.split_at(pair.len().min(length));
        to.write_all(second)?;
        to.write_all(first)?;
        to.write_all(tail)
    }

    fn count_held(&self, length: usize) {
        let mut state = lock(&self.state);
        match self.way {
            Way::Up => state.passed.up += length as u64,
            Way::Down => state.passed.down += length as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
        address
    }

    fn through(rule: Rule, sent: &[u8]) -> (Vec<u8>, Option<ErrorKind>, Proxy) {
        let proxy = Proxy::start(echo(), [rule]).unwrap();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        stream.write_all(sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        let error = stream.read_to_end(&mut back).err().map(|error| error.kind());
        (back, error, proxy)
    }

    #[test]
    fn faults_happen_where_they_are_planned() {
        let sent = b"0123456789";
        for way in [Way::Up, Way::Down] {
            let at = |after, fault| through(Rule::after(after, way, fault), sent);
            assert_eq!(at(100, Fault::Cut).0, sent);
            let (back, error, proxy) = at(4, Fault::Cut);
            assert!(error.is_none() && proxy.hit() && sent.starts_with(&back) && back.len() <= 4, "{back:?} {error:?}");
            assert_eq!(at(4, Fault::Corrupt(1)).0, b"0123556789");
            assert_eq!(at(4, Fault::Swap(3)).0, b"0123789456");
            assert_eq!(at(4, Fault::Swap(5)).0, b"0123945678");
            assert_eq!(at(4, Fault::Delay(Duration::from_millis(50))).0, sent);
            assert_eq!(at(4, Fault::Stall).1, Some(ErrorKind::WouldBlock));
            assert_eq!(at(4, Fault::Reset).1, Some(ErrorKind::ConnectionReset));
            let (_, _, proxy) = at(4, Fault::Down);
            let gone = TcpStream::connect(proxy.address()).unwrap().read(&mut [0; 1]);
            assert!(matches!(gone, Ok(0) | Err(_)), "{gone:?}");
            proxy.heal();
            let mut stream = TcpStream::connect(proxy.address()).unwrap();
            stream.write_all(b"x").unwrap();
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 1);
        }
    }

    #[test]
    fn bytes_and_connections_are_counted() {
        let (back, _, proxy) = through(Rule::after(3, Way::Down, Fault::Corrupt(0)).of_connection(0), b"abcdefgh");
        assert_eq!(back, b"abcdefgh");
        assert_eq!(proxy.passed(), Passed { connections: 1, up: 8, down: 8 });
        assert!(proxy.hit());
    }
}
