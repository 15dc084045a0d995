//! A container that runs and us, by its supervisor: our terminal, our streams, signals, the end.
//!
//! One thread and one `poll`. Frames go both ways ([`containers::supervisor::protocol::Stream`]): how much input is under way is
//! bounded by what the supervisor has acknowledged, output by what we have read.

mod handed;
mod output;

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};

use containers::Config;
use containers::supervisor::protocol::{Control, MAX_FRAME, Reply, Stream, WINDOW};
use containers::supervisor::{Attachment, Given, Handed};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use sys::signal::{SignalSet, Signals};

use crate::error::{Error, Result, While};
use crate::launch::Connected;
use crate::session::detach::{self, Keys, Typed};
use crate::terminal::{Raw, window_size};
pub(crate) use handed::inherited;
use output::Output;

const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGWINCH: i32 = 28;

/// Signals that are passed on: all that may be caught, but those about our own children, pipes and stops.
const FORWARDED: [i32; 13] = [1, SIGINT, 3, 6, 10, 12, 14, SIGTERM, 18, 24, 25, SIGWINCH, 30];

/// Control-C so often, and the container is killed: process 1 may ignore it.
const PATIENCE: u32 = 3;

/// What a container exits with whose supervisor was killed: it was killed, too.
const LOST: u8 = 128 + 9;

/// How much is read of our input at once.
const CHUNK: usize = 32 << 10;

/// What we want of a container.
#[derive(Debug, Clone)]
pub(crate) struct How {
    /// Whether it gets our input.
    pub(crate) stdin: bool,
    /// Whether its two streams are shown.
    pub(crate) shows: [bool; 2],
    /// Whether it has a terminal.
    pub(crate) terminal: bool,
    /// The keys that leave it.
    pub(crate) keys: Keys,
}

/// Which streams a command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Whether the container gets our input.
    pub(crate) stdin: bool,
    /// Whether its two streams are shown.
    pub(crate) shows: [bool; 2],
}

impl Wanted {
    /// Both of its streams; our input where asked.
    pub(crate) fn all(stdin: bool) -> Self {
        Self { stdin, shows: [true; 2] }
    }

    /// `-a stdin -a stdout`; all of them where none is named.
    pub(crate) fn named(names: &[String], interactive: bool) -> Result<Self> {
        let mut wanted = Self { stdin: false, shows: [false; 2] };
        for name in names {
            match name.to_ascii_lowercase().as_str() {
                "stdin" => wanted.stdin = interactive,
                "stdout" => wanted.shows[0] = true,
                "stderr" => wanted.shows[1] = true,
                _ => return Err(Error::usage(format!("--attach {name}: expected stdin, stdout or stderr"))),
            }
        }
        Ok(if names.is_empty() { Self::all(interactive) } else { wanted })
    }
}

impl How {
    /// What is wanted of this container.
    ///
    /// # Errors
    /// Keys that there are not.
    pub(crate) fn of(config: &Config, wanted: Wanted, keys: Option<&str>) -> Result<Self> {
        let keys = keys.or(config.process.detach_keys.as_deref()).unwrap_or(detach::DEFAULT);
        Ok(Self {
            stdin: wanted.stdin && config.process.stdin,
            shows: wanted.shows,
            terminal: config.process.terminal,
            keys: Keys::parse(keys)?,
        })
    }

    /// What the supervisor is told. Where the container has our own streams, there is nothing to send.
    pub(crate) fn attachment(&self, foreground: bool) -> Attachment {
        let size = self.terminal.then(window_size);
        Attachment { stdin: self.stdin, output: self.shows.contains(&true), foreground, size }
    }
}

/// docker's check, with its words.
pub(crate) fn check(interactive: bool, tty: bool) -> Result {
    if interactive && tty && !io::stdin().is_terminal() {
        return Err(
            Error::failed("the input device is not a TTY").hint("leave -t out: `-i` alone passes standard input on")
        );
    }
    Ok(())
}

/// From a start on: what the container's supervisor is given.
///
/// # Errors
/// A terminal that cannot be the container's as it is.
pub(crate) fn connected(config: &Config, how: Option<&How>) -> Result<Connected> {
    if config.logging.driver.as_deref() != Some("passthrough") {
        return Ok(Connected { attached: how.map(|how| how.attachment(true)), ..Connected::default() });
    }
    if config.process.terminal {
        return Err(Error::usage(
            "--log-driver=passthrough gives the container our streams: it has no terminal of its own (-t)",
        ));
    }
    let stdin = if config.process.stdin { Some(io::stdin().as_fd().try_clone_to_owned()?) } else { None };
    let (stdout, stderr) = (io::stdout().as_fd().try_clone_to_owned()?, io::stderr().as_fd().try_clone_to_owned()?);
    let nothing = Attachment { foreground: true, ..Attachment::default() };
    let given = Given { stdin, stdout: Some(stdout), stderr: Some(stderr) };
    Ok(Connected { attached: how.map(|_| nothing), given, handed: Handed::default() })
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The container did, with this code.
    Exited(u8),
    /// We left; it goes on.
    Left,
    /// We were let go; why.
    LetGo(String),
    /// Its supervisor was killed.
    Lost,
}

impl End {
    /// docker's exit code for it.
    ///
    /// # Errors
    /// Where the container did not end as it should.
    pub(crate) fn code(self) -> Result<u8> {
        match self {
            Self::Exited(code) => Ok(code),
            Self::Left => Ok(0),
            Self::LetGo(why) => Err(Error::failed(why)),
            Self::Lost => Err(Error::failed("the container's supervisor was killed").code(LOST)),
        }
    }
}

/// Signals that are ours to pass on from now on. Before the container is started, lest one is missed.
pub(crate) fn signals(sig_proxy: bool) -> Result<Signals> {
    let taken: &[i32] = if sig_proxy { &FORWARDED } else { &[SIGWINCH] };
    Ok(Signals::block(&SignalSet::of(taken))?)
}

/// Stays with a container until it ends or we leave.
///
/// # Errors
/// Of our own streams.
pub(crate) fn stay(connection: OwnedFd, signals: &Signals, how: How) -> Result<End> {
    rustix::io::ioctl_fionbio(&connection, true)?;
    let raw = if how.stdin && how.terminal { Raw::enter()? } else { None };
    let reads = how.stdin;
    let mut stay = Stay {
        connection,
        how,
        reads,
        under_way: 0,
        unsent: VecDeque::new(),
        output: Output::default(),
        asked: 0,
        why: None,
        buffer: vec![0; MAX_FRAME + 1],
    };
    let end = stay.pump(signals);
    drop(raw);
    if let Some(why) = &stay.why {
        crate::ui::note(why);
    }
    end
}

struct Stay {
    connection: OwnedFd,
    how: How,
    /// Whether our input is still open.
    reads: bool,
    /// Bytes of input that were sent and not acknowledged.
    under_way: usize,
    /// Frames that the connection did not take.
    unsent: VecDeque<Vec<u8>>,
    output: Output,
    /// How often the user asked it to end.
    asked: u32,
    /// Why its supervisor ended it.
    why: Option<String>,
    buffer: Vec<u8>,
}

impl Stay {
    fn pump(&mut self, signals: &Signals) -> Result<End> {
        loop {
            let [heard, signalled, typed, shown] = self.wait(signals)?;
            if signalled {
                while let Some(signal) = signals.take()? {
                    self.signal(signal);
                }
            }
            if shown {
                self.output.write()?;
            }
            self.flush();
            if typed && self.read() {
                return Ok(End::Left);
            }
            while heard && self.output.is_empty() {
                match self.hear()? {
                    Heard::Nothing => break,
                    Heard::Frame => self.output.write_ready()?,
                    Heard::End(end) => return Ok(end),
                }
            }
        }
    }

    /// What is ready: the connection, signals, our input, our output.
    fn wait(&self, signals: &Signals) -> Result<[bool; 4]> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let mut waited = vec![PollFd::new(signals, PollFlags::IN)];
        let mut places = [None, Some(0), None, None];
        // An end that nothing is wanted of would wake us for ever, so it is left out.
        if self.output.is_empty() || !self.unsent.is_empty() {
            let sends = if !self.unsent.is_empty() { PollFlags::OUT } else { PollFlags::empty() };
            let listens = if self.output.is_empty() { PollFlags::IN } else { PollFlags::empty() };
            places[0] = Some(waited.len());
            waited.push(PollFd::new(&self.connection, sends | listens));
        }
        if self.reads && self.unsent.is_empty() && self.under_way < WINDOW {
            places[2] = Some(waited.len());
            waited.push(PollFd::new(&stdin, PollFlags::IN));
        }
        if let Some(stream) = self.output.stream() {
            places[3] = Some(waited.len());
            let fd = if stream == 0 { stdout.as_fd() } else { stderr.as_fd() };
            waited.push(PollFd::from_borrowed_fd(fd, PollFlags::OUT));
        }
        match poll(&mut waited, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).during("poll"),
        }
        Ok(places.map(|place| place.is_some_and(|place| !waited[place].revents().is_empty())))
    }

    fn signal(&mut self, signal: i32) {
        if signal == SIGWINCH {
            if self.how.terminal {
                self.say(&Control::Resize(window_size()));
            }
            return;
        }
        if signal == SIGINT || signal == SIGTERM {
            self.asked += 1;
        }
        self.say(&Control::Signal(if self.asked >= PATIENCE { SIGKILL } else { signal }));
    }

    /// Reads our input. Gives whether the user left.
    fn read(&mut self) -> bool {
        let room = (WINDOW - self.under_way).min(CHUNK);
        let mut bytes = vec![0; room];
        match rustix::io::read(io::stdin(), &mut bytes) {
            Err(Errno::AGAIN | Errno::INTR) => false,
            Ok(0) | Err(_) => {
                self.reads = false;
                self.send(vec![Stream::Stdin as u8]);
                false
            }
            Ok(length) => {
                bytes.truncate(length);
                if !self.how.terminal {
                    self.give(&bytes);
                    return false;
                }
                match self.how.keys.take(&bytes) {
                    Typed::Passed(bytes) => {
                        self.give(&bytes);
                        false
                    }
                    Typed::Left(bytes) => {
                        self.give(&bytes);
                        true
                    }
                }
            }
        }
    }

    fn give(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.under_way += bytes.len();
        self.send(frame(Stream::Stdin, bytes));
    }

    fn say(&mut self, control: &Control) {
        let bytes = serde_json::to_vec(control).unwrap_or_default();
        self.send(frame(Stream::Control, &bytes));
    }

    fn send(&mut self, frame: Vec<u8>) {
        self.unsent.push_back(frame);
        self.flush();
    }

    /// Sends what waits, as far as it is taken.
    fn flush(&mut self) {
        while let Some(frame) = self.unsent.front() {
            match rustix::net::send(&self.connection, frame, SendFlags::NOSIGNAL) {
                Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => return,
                // To nobody: what it said last is heard all the same.
                Ok(_) | Err(_) => drop(self.unsent.pop_front()),
            }
        }
    }

    /// Takes the next frame.
    fn hear(&mut self) -> Result<Heard> {
        let length = match rustix::net::recv(&self.connection, &mut self.buffer[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Heard::Nothing),
            Err(Errno::CONNRESET) => 0,
            Err(errno) => return Err(errno).during("read from the container's supervisor"),
        };
        let Some((kind, bytes)) = self.buffer[..length].split_first() else { return Ok(Heard::End(End::Lost)) };
        match Stream::of(*kind) {
            Some(Stream::Stdout) if self.how.shows[0] => self.output.put(0, bytes),
            Some(Stream::Stderr) if self.how.shows[1] => self.output.put(1, bytes),
            Some(Stream::Stdin) => {
                let taken = bytes.try_into().map_or(0, u32::from_le_bytes);
                self.under_way = self.under_way.saturating_sub(taken as usize);
            }
            Some(Stream::Control) => match serde_json::from_slice(bytes) {
                Ok(Reply::Ended(code)) => return Ok(Heard::End(End::Exited(u8::try_from(code).unwrap_or(u8::MAX)))),
                Ok(Reply::Failed(why)) => return Ok(Heard::End(End::LetGo(why))),
                Ok(Reply::Why(why)) => self.why = Some(why),
                Ok(Reply::Done) | Err(_) => {}
            },
            Some(Stream::Stdout | Stream::Stderr) | None => {}
        }
        Ok(Heard::Frame)
    }
}

/// What came.
enum Heard {
    Nothing,
    Frame,
    End(End),
}

fn frame(stream: Stream, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(bytes.len() + 1);
    frame.push(stream as u8);
    frame.extend_from_slice(bytes);
    frame
}
