//! A running container and us: terminal, signals, end.
//!
//! One thread and one `poll`. Without a terminal the container has our own descriptors and there is
//! nothing to copy.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use containers::supervisor::protocol::{Control, Reply, Stream};
use containers::supervisor::{Attached, Given};
use runtime::channel::{self, Received};
use runtime::container::WindowSize;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use sys::signal::{SignalSet, Signals};

use crate::error::{Error, Result, While};
use crate::launch::Connected;

const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGWINCH: i32 = 28;

/// Signals that are passed on: all that may be caught, but those about our own children, pipes and stops.
const FORWARDED: [i32; 13] = [1, SIGINT, 3, 6, 10, 12, 14, SIGTERM, 18, 24, 25, SIGWINCH, 30];

/// Control-C so often, and the container is killed: process 1 may ignore it.
const PATIENCE: u32 = 3;

/// The size of a terminal that does not say its own.
const FALLBACK_WINDOW: WindowSize = WindowSize { rows: 24, columns: 80 };

/// How much typed input waits for a container that does not read.
const MAX_PENDING: usize = 64 << 10;

/// docker's check, with its words.
pub(super) fn check(interactive: bool, tty: bool) -> Result {
    if interactive && tty && !io::stdin().is_terminal() {
        return Err(
            Error::failed("the input device is not a TTY").hint("leave -t out: `-i` alone passes standard input on")
        );
    }
    Ok(())
}

/// The size of our terminal, or a usual one.
pub(super) fn window_size() -> WindowSize {
    match tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin())) {
        Ok(size) if size.ws_row > 0 => WindowSize { rows: size.ws_row, columns: size.ws_col },
        _ => FALLBACK_WINDOW,
    }
}

/// What a container gets of ours from its start.
pub(in crate::verb) fn connected(interactive: bool, tty: bool) -> Result<Connected> {
    if tty {
        return Ok(Connected { attached: true, given: Given::default(), size: Some(window_size()) });
    }
    let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned();
    let given = Given {
        stdin: if interactive { Some(copy(io::stdin().as_fd())?) } else { None },
        stdout: Some(copy(io::stdout().as_fd())?),
        stderr: Some(copy(io::stderr().as_fd())?),
    };
    Ok(Connected { attached: true, given, size: None })
}

/// Stays with a container to its end. Gives its exit code.
pub(in crate::verb) fn follow(attached: Attached, interactive: bool) -> Result<u8> {
    let signals = Signals::block(&SignalSet::of(&FORWARDED))?;
    let front = Front { socket: attached.socket };
    match attached.terminal {
        Some(terminal) => with_terminal(&front, &terminal, &signals, interactive),
        None => without_terminal(&front, &signals),
    }
}

/// Our connection to the supervisor.
struct Front {
    socket: OwnedFd,
}

impl Front {
    fn kill(&self, signal: i32) -> Result {
        let mut frame = vec![Stream::Control as u8];
        serde_json::to_writer(&mut frame, &Control::Signal(signal))?;
        match channel::send(&self.socket, &frame, &[]) {
            // It has ended just now.
            Err(error) if error.errno() == Errno::PIPE => Ok(()),
            other => Ok(other?),
        }
    }

    /// The code, once it has ended.
    fn ended(&self) -> Result<Option<u8>> {
        match channel::receive(&self.socket, false)? {
            Received::Nothing => Ok(None),
            Received::End => Err(Error::failed("the container's supervisor was killed").code(137)),
            Received::Packet(bytes, _) => match serde_json::from_slice(bytes.get(1..).unwrap_or_default()) {
                Ok(Reply::Ended(code)) => Ok(Some(u8::try_from(code).unwrap_or(u8::MAX))),
                Ok(_) | Err(_) => Ok(None),
            },
        }
    }
}

/// Passes signals on until the end.
fn without_terminal(front: &Front, signals: &Signals) -> Result<u8> {
    let mut patience = Patience::default();
    loop {
        let mut waited = [PollFd::new(&front.socket, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        wait(&mut waited)?;
        if is_ready(&waited[0])
            && let Some(code) = front.ended()?
        {
            return Ok(code);
        }
        while let Some(signal) = signals.take()? {
            if signal != SIGWINCH {
                patience.forward(front, signal)?;
            }
        }
    }
}

/// Counts how often the user asked it to end.
#[derive(Default)]
struct Patience {
    asked: u32,
}

impl Patience {
    fn forward(&mut self, front: &Front, signal: i32) -> Result {
        if signal == SIGINT || signal == SIGTERM {
            self.asked += 1;
        }
        let signal = if self.asked >= PATIENCE { SIGKILL } else { signal };
        front.kill(signal)
    }
}

/// Copies between our terminal and the container's, until the end.
fn with_terminal(front: &Front, terminal: &OwnedFd, signals: &Signals, interactive: bool) -> Result<u8> {
    rustix::io::ioctl_fionbio(terminal, true)?;
    let raw = if interactive { Raw::enter()? } else { None };
    let mut copy = Copy { terminal, typed: VecDeque::new(), reads_input: interactive, open: true };
    let result = copy.pump(front, signals);
    drop(raw);
    result
}

/// Our terminal without its own ideas about keys; as it was when dropped.
struct Raw(Termios);

impl Raw {
    /// `None` when standard input is not a terminal.
    fn enter() -> Result<Option<Self>> {
        let Ok(before) = tcgetattr(io::stdin()) else { return Ok(None) };
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).during("set the terminal up")?;
        Ok(Some(Self(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is no one left to tell, and nothing else to try.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

struct Copy<'a> {
    terminal: &'a OwnedFd,
    /// What was typed and not taken yet.
    typed: VecDeque<u8>,
    reads_input: bool,
    open: bool,
}

impl Copy<'_> {
    fn pump(&mut self, front: &Front, signals: &Signals) -> Result<u8> {
        let mut patience = Patience::default();
        loop {
            let stdin = io::stdin();
            let wants = if self.typed.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
            let input =
                if self.reads_input && self.typed.len() < MAX_PENDING { PollFlags::IN } else { PollFlags::empty() };
            let mut waited = [
                PollFd::new(&front.socket, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
                PollFd::new(&stdin, input),
                PollFd::new(self.terminal, if self.open { wants } else { PollFlags::empty() }),
            ];
            wait(&mut waited)?;
            let [ended, signalled, typed, spoken] = [0, 1, 2, 3].map(|at| is_ready(&waited[at]));
            if signalled {
                while let Some(signal) = signals.take()? {
                    self.signal(front, signal, &mut patience)?;
                }
            }
            if spoken && self.open {
                self.show()?;
                self.send()?;
            }
            if typed && self.reads_input {
                self.read()?;
            }
            if ended && let Some(code) = front.ended()? {
                // What it wrote last is still in the terminal.
                while self.open && self.show()? {}
                return Ok(code);
            }
            if !self.open && !self.reads_input && !signalled {
                // Only its end and signals are left to wait for.
                return without_terminal(front, signals);
            }
        }
    }

    fn signal(&self, front: &Front, signal: i32, patience: &mut Patience) -> Result {
        if signal != SIGWINCH {
            return patience.forward(front, signal);
        }
        let size = window_size();
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        // A terminal that is gone needs no size.
        let _ = tcsetwinsize(self.terminal, size);
        Ok(())
    }

    /// Copies what the container wrote. Gives whether there was anything.
    fn show(&mut self) -> Result<bool> {
        let mut buffer = [0; 16 << 10];
        match rustix::io::read(self.terminal, &mut buffer) {
            Ok(0) | Err(Errno::IO) => {
                self.open = false;
                Ok(false)
            }
            Ok(length) => {
                let mut out = io::stdout().lock();
                io::Write::write_all(&mut out, &buffer[..length])?;
                io::Write::flush(&mut out)?;
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(errno) => Err(errno).during("read the container's terminal"),
        }
    }

    /// Reads what was typed.
    fn read(&mut self) -> Result {
        let mut buffer = [0; 4 << 10];
        match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(0) => self.reads_input = false,
            Ok(length) => self.typed.extend(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.reads_input = false,
        }
        self.send()
    }

    /// Hands on what was typed, as far as the container takes it.
    fn send(&mut self) -> Result {
        while self.open && !self.typed.is_empty() {
            let (first, _) = self.typed.as_slices();
            match rustix::io::write(self.terminal, first) {
                Ok(length) => drop(self.typed.drain(..length)),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Err(Errno::IO) => self.open = false,
                Err(errno) => return Err(errno).during("write to the container's terminal"),
            }
        }
        Ok(())
    }
}

fn wait(waited: &mut [PollFd<'_>]) -> Result {
    match poll(waited, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).during("poll"),
    }
}

fn is_ready(fd: &PollFd<'_>) -> bool {
    !fd.revents().is_empty()
}
