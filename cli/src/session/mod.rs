//! A process in a container and us, who started it there ([`runtime::container::join`]): streams, terminal, signals, end.
//!
//! One thread, one `poll`. Pipes and sockets of ours are given as they are. Of anything else that we have (a terminal, a file)
//! the process gets a pipe, and we copy: by `/proc/self/fd` it could open ours anew, with more rights than we gave.

pub(crate) mod detach;
mod stream;
mod terminal;

use std::os::fd::{AsFd, OwnedFd};

use runtime::container::join::{Guest, Joined, Joining, Target};
use runtime::container::{StartError, Stdio};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use sys::signal::{SignalSet, Signals};

use crate::error::{Result, While};
use detach::Keys;
use stream::Streams;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGTERM: i32 = 15;
const SIGWINCH: i32 = 28;

/// Signals that are not ours alone: what ends us is passed on, as a shell would to what it runs.
const TAKEN: [i32; 7] = [SIGHUP, SIGINT, SIGQUIT, 10, 12, SIGTERM, SIGWINCH];

/// So often asked to end, and we go: the process may ignore it, and is not ours to kill.
const PATIENCE: u32 = 3;

/// How the session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The process did, with this code.
    Exited(u8),
    /// We left, and it goes on.
    Left,
    /// A signal ended us before, or after the process was asked to end often enough.
    Signalled(i32),
}

/// How to talk with it.
#[derive(Debug)]
pub(crate) struct Session {
    /// Whether it gets our input.
    pub(crate) interactive: bool,
    /// Whether nobody listens.
    pub(crate) detached: bool,
    /// The keys that leave its terminal.
    pub(crate) keys: Keys,
}

/// Why there was none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The process did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something of ours failed.
    #[error("{}", .0.message())]
    Ours(crate::error::Error),
}

impl From<crate::error::Error> for SessionError {
    fn from(error: crate::error::Error) -> Self {
        Self::Ours(error)
    }
}

impl Session {
    /// Starts the process, and stays to its end unless `detached`.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn run(self, target: &Target, guest: &Guest<'_>) -> Result<End, SessionError> {
        let signals = Signals::block(&SignalSet::of(&TAKEN)).during("block signals")?;
        let has_terminal = guest.spec.terminal.is_some();
        let (stdio, streams) = match (has_terminal, self.detached) {
            (false, false) => Streams::new(self.interactive)?,
            _ => (Stdio::default(), Streams::default()),
        };
        let joining = Joining::begin(target, guest, stdio)?;
        let mut joined = match start(joining, &signals)? {
            Ok(joined) => joined,
            Err(signal) => return Ok(End::Signalled(signal)),
        };
        match (joined.terminal(), self.detached) {
            (Some(terminal), false) => terminal::stay(joined, terminal, &signals, self),
            (Some(terminal), true) => {
                terminal::leave_alone(&terminal)?;
                Ok(End::Left)
            }
            (None, true) => Ok(End::Left),
            (None, false) => stay(joined, streams, &signals),
        }
    }
}

/// Waits until the program runs; or for a signal that ends us: nothing of the container's may hold us.
fn start(mut joining: Joining, signals: &Signals) -> Result<Result<Joined, i32>, SessionError> {
    while !joining.advance(false)? {
        let reports = joining.reports();
        wait(&mut [PollFd::from_borrowed_fd(reports, PollFlags::IN), PollFd::new(signals, PollFlags::IN)])?;
        while let Some(signal) = signals.take().during("read signals")? {
            if [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&signal) {
                return Ok(Err(signal));
            }
        }
    }
    Ok(Ok(joining.finish()?))
}

/// Copies what is to be copied until the end.
fn stay(joined: Joined, mut streams: Streams, signals: &Signals) -> Result<End, SessionError> {
    let mut asked = Asked::default();
    loop {
        let fate = joined.fate();
        let (mut ended, mut signalled) = (false, false);
        let mut ready = Vec::new();
        {
            let mut waited = vec![PollFd::from_borrowed_fd(fate, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
            let places = streams.waits(&mut waited);
            wait(&mut waited)?;
            ended |= is_ready(&waited[0]);
            signalled |= is_ready(&waited[1]);
            for (place, fd) in places.into_iter().zip(&waited[2..]) {
                if is_ready(fd) {
                    ready.push(place);
                }
            }
        }
        if signalled && let Some(signal) = asked.pass_on(&joined, signals)? {
            return Ok(End::Signalled(signal));
        }
        streams.copy(&ready)?;
        if ended {
            streams.finish()?;
            return Ok(End::Exited(joined.wait().code()));
        }
    }
}

/// Counts how often it was asked to end.
#[derive(Debug, Default)]
struct Asked {
    times: u32,
}

impl Asked {
    /// Passes signals on; gives the one that ends us.
    fn pass_on(&mut self, joined: &Joined, signals: &Signals) -> Result<Option<i32>, SessionError> {
        while let Some(signal) = signals.take().during("read signals")? {
            if signal == SIGWINCH {
                continue;
            }
            joined.kill(signal)?;
            if signal == SIGINT || signal == SIGTERM {
                self.times += 1;
            }
            // Our terminal is gone, or who typed had to ask too often.
            if signal == SIGHUP || self.times >= PATIENCE {
                return Ok(Some(signal));
            }
        }
        Ok(None)
    }
}

fn wait(waited: &mut [PollFd<'_>]) -> Result<()> {
    match poll(waited, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).during("poll"),
    }
}

fn is_ready(fd: &PollFd<'_>) -> bool {
    !fd.revents().is_empty()
}

/// A copy of one of our own streams.
fn own(fd: impl AsFd) -> Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned().during("dup")
}
