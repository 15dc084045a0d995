//! The spawner's own side.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::{Reply, Request, number};
use crate::channel::{self, Received};
use crate::container::{Progress, Running, Spec, StartError, Starting, Stdio};

const SIGKILL: i32 = 9;

/// One container and the socket on which its requester listens.
struct Entry {
    socket: OwnedFd,
    state: State,
}

enum State {
    Starting(Starting),
    Running(Running),
    /// Nothing more to do: to be forgotten.
    Over,
}

/// Serves requests until the parent is gone; then ends every container and this process.
pub(super) fn run(requests: OwnedFd, keep: RawFd) -> ! {
    let _bulkhead = sys::clone::Bulkhead;
    let code = match serve(&requests, keep) {
        Ok(()) => 0,
        Err(_) => 1,
    };
    // The containers' own processes are killed by the kernel with this one, those that are left after an error too.
    sys::clone::exit(code)
}

fn serve(requests: &OwnedFd, keep: RawFd) -> sys::Result<()> {
    let dead = rustix::process::Signal::KILL;
    rustix::process::set_parent_process_death_signal(Some(dead))
        .map_err(|errno| sys::Error::new("prctl", "", errno))?;
    // Ctrl-C is for the parent, which decides what of it reaches a container.
    let _ = rustix::process::setsid();
    sys::exec::close_inherited(3, &[number(requests), keep])?;
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let ready = wait(requests, &entries)?;
        for (entry, (gone, ready)) in entries.iter_mut().zip(&ready[1..]) {
            if *gone {
                entry.end();
            } else if *ready {
                entry.step();
            }
        }
        entries.retain(|entry| !matches!(entry.state, State::Over));
        if ready[0].1 {
            match channel::receive(requests, false)? {
                Received::Packet(bytes, fds) => entries.extend(accept(&bytes, fds)),
                Received::Nothing => {}
                Received::End => {
                    entries.iter_mut().for_each(Entry::end);
                    return Ok(());
                }
            }
        }
    }
}

/// Waits for something to happen. For the requests, then for each entry: whether its requester is gone, and whether
/// there is something to do.
fn wait(requests: &OwnedFd, entries: &[Entry]) -> sys::Result<Vec<(bool, bool)>> {
    let mut fds = vec![PollFd::new(requests, PollFlags::IN)];
    for entry in entries {
        fds.push(PollFd::from_borrowed_fd(entry.socket.as_fd(), PollFlags::IN));
        fds.push(PollFd::from_borrowed_fd(entry.state.news(&entry.socket), PollFlags::IN));
    }
    loop {
        match poll(&mut fds, None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(sys::Error::new("poll", "", errno)),
        }
    }
    let happened = |fd: &PollFd<'_>| !fd.revents().is_empty();
    let mut ready = vec![(false, happened(&fds[0]))];
    ready.extend(fds[1..].chunks(2).map(|pair| (happened(&pair[0]), happened(&pair[1]))));
    Ok(ready)
}

impl State {
    fn news<'a>(&'a self, socket: &'a OwnedFd) -> BorrowedFd<'a> {
        match self {
            Self::Starting(starting) => starting.reports(),
            Self::Running(running) => running.pidfd(),
            Self::Over => socket.as_fd(),
        }
    }
}

impl Entry {
    /// The requester is gone, or we are about to be: the container ends.
    fn end(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Running(running) => {
                let _ = running.kill(SIGKILL);
                let _ = running.wait();
            }
            // Dropping it kills it.
            State::Starting(_) | State::Over => {}
        }
    }

    fn step(&mut self) {
        let (state, said) = match std::mem::replace(&mut self.state, State::Over) {
            State::Starting(mut starting) => match starting.advance(false) {
                Ok(Progress::Starting) => (State::Starting(starting), Ok(())),
                Ok(Progress::Started) => self.started(starting),
                Err(error) => {
                    // Only when all of it is gone may the requester use its files again.
                    drop(starting);
                    (State::Over, self.say(&Reply::Failed(error), &[]))
                }
            },
            State::Running(running) => {
                let reply = running.wait().map_or_else(Reply::Failed, Reply::Finished);
                (State::Over, self.say(&reply, &[]))
            }
            State::Over => (State::Over, Ok(())),
        };
        self.state = state;
        if said.is_err() {
            self.end();
        }
    }

    fn started(&self, starting: Starting) -> (State, sys::Result<()>) {
        match starting.finish() {
            Ok(mut running) => {
                let terminal = running.terminal();
                let mut fds = vec![running.pidfd()];
                fds.extend(terminal.iter().map(AsFd::as_fd));
                let said = self.say(&Reply::Started { pid: running.pid() }, &fds);
                (State::Running(running), said)
            }
            Err(error) => (State::Over, self.say(&Reply::Failed(error), &[])),
        }
    }

    fn say(&self, reply: &Reply, fds: &[BorrowedFd<'_>]) -> sys::Result<()> {
        let bytes = serde_json::to_vec(reply).map_err(|_| sys::Error::new("encode", "", Errno::INVAL))?;
        channel::send(&self.socket, &bytes, fds)
    }
}

/// Begins what a request asks for; `None` where even the socket to say so is missing.
fn accept(bytes: &[u8], fds: Vec<OwnedFd>) -> Option<Entry> {
    let mut fds = fds.into_iter();
    let socket = fds.next()?;
    let begun = decode(bytes, fds).and_then(|(spec, stdio)| Starting::begin(&spec, stdio, false));
    match begun {
        Ok(starting) => Some(Entry { socket, state: State::Starting(starting) }),
        Err(error) => {
            let entry = Entry { socket, state: State::Over };
            // A requester that is gone doesn't want to know.
            let _ = entry.say(&Reply::Failed(error), &[]);
            None
        }
    }
}

fn decode(bytes: &[u8], mut fds: std::vec::IntoIter<OwnedFd>) -> Result<(Spec, Stdio), StartError> {
    let unreadable = |error: serde_json::Error| StartError::Invalid(format!("specification: {error}"));
    let request: Request<Spec> = serde_json::from_slice(bytes).map_err(unreadable)?;
    let given = request.given;
    let mut next = |is_given: bool| if is_given { fds.next() } else { None };
    let (stdin, stdout, stderr) = (next(given.stdin), next(given.stdout), next(given.stderr));
    let spec = match (request.spec, next(given.spec)) {
        (Some(spec), _) => spec,
        (None, Some(file)) => {
            let mut text = Vec::new();
            let read = std::fs::File::from(file).read_to_end(&mut text);
            read.map_err(|error| sys::Error::from_io("read", "specification", &error))?;
            serde_json::from_slice(&text).map_err(unreadable)?
        }
        (None, None) => return Err(StartError::Invalid("a request without a specification".to_owned())),
    };
    Ok((spec, Stdio { stdin, stdout, stderr, files: fds.collect(), handed: Vec::new() }))
}
