//! A session with a terminal: ours is raw meanwhile, and follows in size.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use runtime::container::join::Joined;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use sys::clone::{Bulkhead, Forked};
use sys::signal::Signals;

use super::detach::{Keys, Typed};
use super::stream::write_all;
use super::{End, SIGHUP, SIGWINCH, Session, SessionError, is_ready, own, wait};
use crate::error::{Result, While};
use crate::terminal::{Raw, resize, window_size};

/// How much typed input waits for a process that does not read.
const MAX_PENDING: usize = 64 << 10;

/// Copies between the two terminals to the end, or until the user leaves.
pub(super) fn stay(
    joined: Joined,
    terminal: OwnedFd,
    signals: &Signals,
    session: Session,
) -> Result<End, SessionError> {
    rustix::io::ioctl_fionbio(&terminal, true).during("set the terminal up")?;
    let raw = if session.interactive { Raw::enter()? } else { None };
    let (input, output) = (own(io::stdin())?, own(io::stdout())?);
    let mut copy = Copy {
        terminal,
        input: session.interactive.then_some(input),
        output,
        pending: Vec::new(),
        open: true,
        keys: session.keys,
    };
    let end = copy.pump(&joined, signals);
    drop(raw);
    match end? {
        Some(End::Left) => {
            leave_alone(&copy.terminal)?;
            Ok(End::Left)
        }
        Some(end) => Ok(end),
        None => Ok(End::Exited(joined.wait().code())),
    }
}

struct Copy {
    terminal: OwnedFd,
    input: Option<OwnedFd>,
    output: OwnedFd,
    pending: Vec<u8>,
    open: bool,
    keys: Keys,
}

impl Copy {
    fn pump(&mut self, joined: &Joined, signals: &Signals) -> Result<Option<End>, SessionError> {
        loop {
            let [ended, signalled, spoken, typed] = self.wait(joined, signals)?;
            if signalled && self.take_signals(joined, signals)? {
                return Ok(Some(End::Signalled(SIGHUP)));
            }
            if spoken {
                self.show()?;
                self.send()?;
            }
            if typed && self.read()? {
                return Ok(Some(End::Left));
            }
            if ended {
                // What it wrote last is still in the terminal.
                while self.open && self.show()? {}
                return Ok(None);
            }
        }
    }

    fn wait(&self, joined: &Joined, signals: &Signals) -> Result<[bool; 4]> {
        let wants = if self.pending.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let fate = joined.fate();
        let mut waited = vec![PollFd::from_borrowed_fd(fate, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        // A terminal that hung up, or an input that ended, would wake us for ever.
        let (mut speaks, mut types) = (None, None);
        if self.open {
            speaks = Some(waited.len());
            waited.push(PollFd::new(&self.terminal, wants));
        }
        if let Some(input) = self.input.as_ref().filter(|_| self.pending.len() < MAX_PENDING) {
            types = Some(waited.len());
            waited.push(PollFd::new(input, PollFlags::IN));
        }
        wait(&mut waited)?;
        let ready = |place: Option<usize>| place.is_some_and(|place| is_ready(&waited[place]));
        Ok([ready(Some(0)), ready(Some(1)), ready(speaks), ready(types)])
    }

    /// Gives whether our own terminal is gone.
    fn take_signals(&self, joined: &Joined, signals: &Signals) -> Result<bool, SessionError> {
        while let Some(signal) = signals.take().during("read signals")? {
            match signal {
                SIGWINCH => resize(&self.terminal, window_size()),
                SIGHUP => return Ok(true),
                other => joined.kill(other)?,
            }
        }
        Ok(false)
    }

    /// Copies what was shown. Gives whether there was anything.
    fn show(&mut self) -> Result<bool> {
        let mut buffer = [0; 16 << 10];
        match rustix::io::read(&self.terminal, &mut buffer) {
            Ok(0) | Err(Errno::IO) => {
                self.open = false;
                Ok(false)
            }
            Ok(length) => {
                write_all(&self.output, &buffer[..length]).during("write to the terminal")?;
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(errno) => Err(errno).during("read the container's terminal"),
        }
    }

    /// Reads what was typed. Gives whether the user left.
    fn read(&mut self) -> Result<bool> {
        let Some(input) = &self.input else { return Ok(false) };
        let mut buffer = [0; 4 << 10];
        let left = match rustix::io::read(input, &mut buffer) {
            Err(Errno::AGAIN | Errno::INTR) => false,
            Ok(0) | Err(_) => {
                self.input = None;
                false
            }
            Ok(length) => match self.keys.take(&buffer[..length]) {
                Typed::Passed(bytes) => {
                    self.pending.extend(bytes);
                    false
                }
                Typed::Left(bytes) => {
                    self.pending.extend(bytes);
                    true
                }
            },
        };
        self.send()?;
        Ok(left)
    }

    /// Hands on what was typed, as far as it is taken.
    fn send(&mut self) -> Result {
        while self.open && !self.pending.is_empty() {
            match rustix::io::write(&self.terminal, &self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Err(Errno::IO) => self.open = false,
                Err(errno) => return Err(errno).during("write to the container's terminal"),
            }
        }
        Ok(())
    }
}

/// Leaves somebody behind who reads the terminal to its end: closed, it would end what runs there; unread, stop it.
pub(super) fn leave_alone(terminal: &OwnedFd) -> Result {
    let Forked::Child = sys::clone::fork(sys::clone::Namespaces::NONE)? else { return Ok(()) };
    let _bulkhead = Bulkhead;
    let _ = rustix::process::setsid();
    let number = terminal.as_raw_fd();
    if sys::exec::close_inherited(0, &[number]).is_ok() && rustix::io::ioctl_fionbio(terminal, false).is_ok() {
        let mut buffer = [0; 4 << 10];
        while matches!(rustix::io::read(terminal, &mut buffer), Ok(1..) | Err(Errno::INTR)) {}
    }
    sys::clone::exit(0)
}
