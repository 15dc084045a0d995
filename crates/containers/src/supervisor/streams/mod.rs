//! The streams of a container: between its pipes or its terminal, its log, and whoever is attached.
//!
//! The supervisor's loop waits for one descriptor ([`Streams::descriptor`]); [`Streams::turn`] does what there is to do, a bounded
//! part of it at a time. Where nobody listens, bytes go from the pipe to the disk without being looked at. Who is attached in the
//! foreground holds the container up when he does not read, as a pipe does; others are let go, and told so.

mod attached;
mod packed;
mod poller;
mod source;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use runtime::container::{Stdio, WindowSize};
use rustix::event::PollFlags;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::termios::{Winsize, tcsetwinsize};

use super::protocol::{Control, MAX_FRAME, Reply, Stream, WINDOW};
use super::serve::{Waits, Who};
use crate::Config;
use crate::config::Logging;
use crate::layout::Folder;
use crate::log::{Driver, LogError, Settings, Sink};

use attached::Attached;
pub use attached::Attachment;
pub(super) use packed::Packed;
use poller::Poller;
use source::{Progress, SourceEnd};

/// How many pieces of a stream are taken in one turn: others wait for their turn meanwhile.
const PIECES: usize = 16;
/// How many of its last words are taken: more than a pipe and a terminal hold. Who shares its processes may go on for ever.
const LAST_PIECES: usize = 256;
/// How many may be attached: each is a descriptor, and memory.
const MAX_ATTACHED: usize = 64;
/// How long those who are attached may take for the last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where each descriptor stands in the poller; who is attached comes after these.
const STDIN: u64 = 0;
const STDOUT: u64 = 1;
const STDERR: u64 = 2;
const ATTACHED: u64 = 16;

/// Why there are no streams.
#[derive(Debug, thiserror::Error)]
pub enum StreamsError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The kernel refused.
    #[error(transparent)]
    System(#[from] sys::Error),
}

/// Streams that the container has as they are.
#[derive(Debug, Default)]
pub struct Given {
    /// Its standard input.
    pub stdin: Option<OwnedFd>,
    /// Its standard output.
    pub stdout: Option<OwnedFd>,
    /// Its standard error.
    pub stderr: Option<OwnedFd>,
}

impl Given {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &OwnedFd> {
        [&self.stdin, &self.stdout, &self.stderr].into_iter().flatten()
    }

    fn copy(&self) -> Result<Stdio, StreamsError> {
        let copy = |fd: &Option<OwnedFd>| {
            fd.as_ref().map(OwnedFd::try_clone).transpose().map_err(|error| sys::Error::from_io("dup", "", &error))
        };
        let (stdin, stdout, stderr) = (copy(&self.stdin)?, copy(&self.stdout)?, copy(&self.stderr)?);
        Ok(Stdio { stdin, stdout, stderr, ..Stdio::default() })
    }
}

fn refused(what: &'static str) -> impl FnOnce(Errno) -> StreamsError {
    move |errno| StreamsError::System(sys::Error::new(what, "", errno))
}

/// The streams of a container, over all its starts.
#[derive(Debug)]
pub struct Streams {
    poller: Poller,
    sink: Sink,
    driver: Driver,
    /// Standard output and error; with a terminal, the first is it.
    sources: [Option<SourceEnd>; 2],
    /// Where its standard input is written.
    stdin: Option<OwnedFd>,
    /// Its terminal; `sources` has a duplicate.
    terminal: Option<OwnedFd>,
    /// What was sent to it and not taken, and by whom.
    typed: VecDeque<(u64, Vec<u8>)>,
    /// Whether its standard input ends after that.
    ending: bool,
    attached: Vec<Attached>,
    next: u64,
    size: Option<WindowSize>,
    wants_stdin: bool,
    has_terminal: bool,
    given: Given,
    /// Whether who starts the container will attach.
    awaited: bool,
    /// One byte for the kind of frame, then what was read.
    buffer: Vec<u8>,
}

impl Streams {
    /// Opens the container's log.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn open(config: &Config, folder: &Folder, given: Given) -> Result<Self, StreamsError> {
        Ok(Self {
            poller: Poller::new()?,
            sink: Sink::open(config, folder.log())?,
            driver: driver(&config.logging)?,
            sources: [None, None],
            stdin: None,
            terminal: None,
            typed: VecDeque::new(),
            ending: false,
            attached: Vec::new(),
            next: ATTACHED,
            size: None,
            wants_stdin: config.process.stdin,
            has_terminal: config.process.terminal,
            given,
            awaited: false,
            buffer: vec![0; MAX_FRAME + 1],
        })
    }

    /// Whether the log can be opened once more, as a supervisor does that executes itself again.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub(super) fn check(config: &Config, folder: &Folder) -> Result<(), StreamsError> {
        drop(Sink::open(config, folder.log())?);
        Ok(())
    }

    /// What a start of the container connects it to. With the driver `passthrough`, what was given.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn stdio(&mut self) -> Result<Stdio, StreamsError> {
        self.close();
        if self.has_terminal {
            return Ok(Stdio::default());
        }
        if self.driver == Driver::Passthrough {
            return self.given.copy();
        }
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(refused("pipe"));
        let mut stdio = Stdio::default();
        if self.wants_stdin {
            let (theirs, ours) = pipe()?;
            stdio.stdin = Some(theirs);
            self.set_stdin(ours)?;
        }
        let (ours, theirs) = pipe()?;
        stdio.stdout = Some(theirs);
        self.set_source(0, ours)?;
        let (ours, theirs) = pipe()?;
        stdio.stderr = Some(theirs);
        self.set_source(1, ours)?;
        self.arm();
        Ok(stdio)
    }

    /// The size that its terminal begins with, where somebody attached said one.
    pub fn size(&self) -> Option<WindowSize> {
        self.size
    }

    /// The container runs; its terminal, where it has one.
    pub fn started(&mut self, terminal: Option<OwnedFd>) {
        let Some(terminal) = terminal else { return };
        if let Some(size) = self.size {
            resize(&terminal, size);
        }
        if let Ok(copy) = terminal.try_clone()
            && self.set_source(0, copy).is_ok()
        {
            self.terminal = Some(terminal);
        }
        self.arm();
    }

    /// Somebody attaches: a `SOCK_SEQPACKET` socket that carries frames from now on.
    pub fn join(&mut self, connection: OwnedFd, attachment: Attachment) {
        if rustix::io::ioctl_fionbio(&connection, true).is_err() {
            return;
        }
        if let Some(size) = attachment.size {
            let before = self.size.replace(size);
            if let Some(terminal) = &self.terminal {
                // Another size first: what draws on it draws anew. Who is there from the start has missed nothing.
                if before == Some(size) && !attachment.foreground {
                    resize(terminal, WindowSize { rows: size.rows.saturating_add(1), ..size });
                }
                resize(terminal, size);
            }
        }
        let mut attached = Attached::new(self.next, connection, attachment);
        if self.attached.len() >= MAX_ATTACHED {
            let why = Reply::Failed("too many are attached to it".to_owned());
            attached.send(&frame(Stream::Control, &serde_json::to_vec(&why).unwrap_or_default()));
            return;
        }
        self.attached.push(attached);
        self.next += 1;
        self.arm();
    }

    /// Waits for whatever there is to do.
    pub(super) fn waits<'w>(&'w self, waits: &mut Waits<'w>) {
        waits.fd(Who::Streams, self.poller.fd(), PollFlags::IN);
    }

    /// Whether somebody in the foreground stays with it.
    pub fn is_attached(&self) -> bool {
        self.awaited || self.attached.iter().any(|attached| attached.about.foreground)
    }

    /// Who starts the container will attach.
    pub fn expect(&mut self) {
        self.awaited = true;
    }

    /// Whether nothing is half done.
    pub fn is_quiet(&self) -> bool {
        self.typed.is_empty() && !self.attached.iter().any(Attached::is_behind)
    }

    /// Writes what is left of lines that did not end, for formats that have lines.
    pub fn finish_lines(&mut self) {
        self.sink.finish();
    }

    /// Readable when there is something to do.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.poller.descriptor()
    }

    /// Does what there is to do. Gives the signals that were asked for.
    pub fn turn(&mut self) -> Vec<i32> {
        let mut signals = Vec::new();
        for (token, _) in self.poller.ready() {
            match token {
                STDIN => self.feed(),
                STDOUT | STDERR => {
                    self.take(usize::from(token == STDERR), PIECES);
                    if token == STDOUT && self.terminal.is_some() {
                        self.feed();
                    }
                }
                token => self.listen(token, &mut signals),
            }
        }
        self.settle();
        signals
    }

    /// The container ended: what it said last is read, whoever reads it.
    pub fn ended(&mut self) {
        for at in 0..2 {
            self.take(at, LAST_PIECES);
        }
        self.sink.finish();
        self.close();
        self.settle();
    }

    /// Tells everybody that is attached how it ended, and why we ended it, and closes. Who is in the foreground gets everything that was said, however
    /// long he takes; nobody else waits for him.
    pub fn finish(mut self, code: i32, why: Option<&str>) {
        let control = |reply: &Reply| frame(Stream::Control, &serde_json::to_vec(reply).unwrap_or_default());
        let why = why.map(|why| control(&Reply::Why(why.to_owned())));
        let reply = control(&Reply::Ended(code));
        let deadline = Instant::now() + FAREWELL;
        for attached in &mut self.attached {
            why.iter().for_each(|why| attached.send(why));
            attached.send(&reply);
        }
        let (foreground, others): (Vec<_>, Vec<_>) =
            self.attached.drain(..).partition(|attached| attached.about.foreground);
        others.into_iter().for_each(|mut attached| attached.flush_until(Some(deadline)));
        // As a pipe, he may take what time he likes.
        foreground.into_iter().for_each(|mut attached| attached.flush_until(None));
    }

    fn set_source(&mut self, at: usize, fd: OwnedFd) -> Result<(), StreamsError> {
        rustix::io::ioctl_fionbio(&fd, true).map_err(refused("FIONBIO"))?;
        self.sources[at] = Some(SourceEnd::new(at, fd));
        Ok(())
    }

    fn set_stdin(&mut self, fd: OwnedFd) -> Result<(), StreamsError> {
        rustix::io::ioctl_fionbio(&fd, true).map_err(refused("FIONBIO"))?;
        self.stdin = Some(fd);
        Ok(())
    }

    /// Lets go of what the last start was connected to.
    fn close(&mut self) {
        for token in [STDIN, STDOUT, STDERR] {
            self.poller.forget(token);
        }
        self.sources = [None, None];
        (self.stdin, self.terminal, self.ending) = (None, None, false);
        self.typed.clear();
    }

    fn is_held_up(&self) -> bool {
        self.attached.iter().any(|attached| attached.about.foreground && attached.is_behind())
    }

    /// Takes what the container wrote to a stream, so many pieces at most.
    fn take(&mut self, at: usize, pieces: usize) {
        let Some(source) = &mut self.sources[at] else { return };
        let listeners = self.attached.iter().any(|attached| attached.about.output);
        for _ in 0..pieces {
            let stays = self.terminal.is_none();
            match source.take(&mut self.sink, &mut self.buffer, listeners, stays) {
                Progress::Read(length) => {
                    let mut held_up = false;
                    for attached in self.attached.iter_mut().filter(|attached| attached.about.output) {
                        attached.send(&self.buffer[..=length]);
                        held_up |= attached.about.foreground && attached.is_behind();
                    }
                    if held_up && pieces != LAST_PIECES {
                        return;
                    }
                }
                Progress::Moved => {}
                Progress::Nothing => return,
                Progress::End => {
                    self.poller.forget(STDOUT + at as u64);
                    self.sources[at] = None;
                    return;
                }
            }
        }
    }

    /// Hears who is attached, and sends him what waits.
    fn listen(&mut self, token: u64, signals: &mut Vec<i32>) {
        let Some(at) = self.attached.iter().position(|attached| attached.token == token) else { return };
        self.attached[at].flush();
        while let Some(frame) = self.attached[at].receive(&mut self.buffer) {
            let about = self.attached[at].about.clone();
            match frame {
                (Stream::Stdin, 0) if about.stdin && about.foreground && self.terminal.is_none() => self.ending = true,
                (Stream::Stdin, length) if about.stdin && length > 0 => {
                    let bytes = self.buffer[1..=length].to_vec();
                    let waiting: usize = self.typed.iter().filter(|(by, _)| *by == token).map(|(_, b)| b.len()).sum();
                    if waiting + length > WINDOW {
                        self.attached[at].hang_up();
                        break;
                    }
                    self.typed.push_back((token, bytes));
                }
                (Stream::Control, length) => match serde_json::from_slice(&self.buffer[1..=length]) {
                    Ok(Control::Resize(size)) => {
                        self.size = Some(size);
                        if let Some(terminal) = &self.terminal {
                            resize(terminal, size);
                        }
                    }
                    Ok(Control::Signal(signal)) => signals.push(signal),
                    Err(_) => {}
                },
                _ => {}
            }
        }
        self.feed();
    }

    /// Gives the container what was typed, as far as it takes it, and says so to who typed.
    fn feed(&mut self) {
        while let Some((by, bytes)) = self.typed.front_mut() {
            let Some(to) = self.stdin.as_ref().or(self.terminal.as_ref()) else {
                // Nobody reads: it is as good as taken.
                let (by, length) = (*by, bytes.len());
                self.typed.pop_front();
                self.acknowledge(by, length);
                continue;
            };
            match rustix::io::write(to, bytes) {
                Ok(length) => {
                    let by = *by;
                    bytes.drain(..length);
                    if bytes.is_empty() {
                        self.typed.pop_front();
                    }
                    self.acknowledge(by, length);
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.poller.forget(STDIN);
                    self.stdin = None;
                    if self.terminal.is_some() {
                        self.typed.clear();
                    }
                }
            }
        }
        if self.ending {
            self.poller.forget(STDIN);
            self.stdin = None;
        }
    }

    fn acknowledge(&mut self, by: u64, length: usize) {
        if let Some(attached) = self.attached.iter_mut().find(|attached| attached.token == by) {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            attached.send(&frame(Stream::Stdin, &length.to_le_bytes()));
        }
    }

    /// Lets those go who are gone, and says anew what is waited for.
    fn settle(&mut self) {
        let (gone, stay): (Vec<_>, Vec<_>) = self.attached.drain(..).partition(Attached::is_gone);
        self.attached = stay;
        for attached in gone {
            self.poller.forget(attached.token);
            if attached.about.foreground && attached.about.stdin && !self.has_terminal {
                // Who gave it its input is gone: the input ends.
                self.ending = true;
                self.feed();
            }
        }
        self.arm();
    }

    fn arm(&mut self) {
        let held_up = self.is_held_up();
        let typed = !self.typed.is_empty();
        let when = |condition: bool, flags: EventFlags| if condition { flags } else { EventFlags::empty() };
        for (at, source) in self.sources.iter().enumerate() {
            if let Some(source) = source {
                let writes = at == 0 && self.terminal.is_some() && typed;
                let flags = when(!held_up && !source.is_idle(), EventFlags::IN) | when(writes, EventFlags::OUT);
                self.poller.want(STDOUT + at as u64, source.as_fd(), flags);
            }
        }
        if let Some(stdin) = &self.stdin {
            self.poller.want(STDIN, stdin.as_fd(), when(typed, EventFlags::OUT));
        }
        for attached in &self.attached {
            let flags = EventFlags::IN | when(attached.is_behind(), EventFlags::OUT);
            self.poller.want(attached.token, attached.as_fd(), flags);
        }
    }
}

/// Whether this container's streams are those of who starts it.
fn driver(logging: &Logging) -> Result<Driver, LogError> {
    Settings::of(logging).map(|settings| settings.driver)
}

fn resize(terminal: &OwnedFd, size: WindowSize) {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // A terminal that is gone needs no size.
    let _ = tcsetwinsize(terminal, size);
}

/// One frame.
pub fn frame(stream: Stream, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(bytes.len() + 1);
    frame.push(stream as u8);
    frame.extend_from_slice(bytes);
    frame
}
