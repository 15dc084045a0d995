//! Our streams, given as they are, or by a pipe that we copy.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use runtime::container::Stdio;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::own;
use crate::error::{Result, While};

/// How much is copied at once; as much as a pipe holds.
const CHUNK: usize = 64 << 10;

/// What is copied between us and the process.
#[derive(Debug, Default)]
pub(super) struct Streams {
    input: Option<Input>,
    outputs: [Option<Output>; 2],
}

/// What of the streams is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    /// There is something to read for its input.
    Typed,
    /// Its input takes more.
    Takes,
    /// It said something.
    Said(usize),
}

/// From our standard input into a pipe.
#[derive(Debug)]
struct Input {
    from: OwnedFd,
    to: OwnedFd,
    pending: Vec<u8>,
    open: bool,
}

/// From a pipe to a stream of ours.
#[derive(Debug)]
struct Output {
    from: OwnedFd,
    to: OwnedFd,
}

/// What one of our streams is.
enum Kind {
    /// Nothing that could be opened again for more.
    Harmless,
    /// The null device; the container has its own.
    Null,
    /// Something that is copied.
    Other,
}

impl Streams {
    /// What the process gets, and what is to be copied for it.
    pub(super) fn new(interactive: bool) -> Result<(Stdio, Self)> {
        let mut stdio = Stdio::default();
        let mut streams = Self::default();
        if interactive {
            stdio.stdin = streams.input(own(io::stdin())?)?;
        }
        stdio.stdout = streams.output(0, own(io::stdout())?)?;
        stdio.stderr = streams.output(1, own(io::stderr())?)?;
        Ok((stdio, streams))
    }

    fn input(&mut self, from: OwnedFd) -> Result<Option<OwnedFd>> {
        match kind(&from) {
            Kind::Harmless => return Ok(Some(from)),
            Kind::Null => return Ok(None),
            Kind::Other => {}
        }
        let (theirs, to) = pipe_with(PipeFlags::CLOEXEC).during("pipe")?;
        unblock(&to)?;
        self.input = Some(Input { from, to, pending: Vec::new(), open: true });
        Ok(Some(theirs))
    }

    fn output(&mut self, place: usize, to: OwnedFd) -> Result<Option<OwnedFd>> {
        match kind(&to) {
            Kind::Harmless => return Ok(Some(to)),
            Kind::Null => return Ok(None),
            Kind::Other => {}
        }
        let (from, theirs) = pipe_with(PipeFlags::CLOEXEC).during("pipe")?;
        unblock(&from)?;
        self.outputs[place] = Some(Output { from, to });
        Ok(Some(theirs))
    }

    /// Adds what is to be waited for, and says what each is.
    pub(super) fn waits<'w>(&'w self, waited: &mut Vec<PollFd<'w>>) -> Vec<Ready> {
        let mut places = Vec::new();
        match &self.input {
            Some(input) if !input.pending.is_empty() => {
                waited.push(PollFd::new(&input.to, PollFlags::OUT));
                places.push(Ready::Takes);
            }
            Some(input) if input.open => {
                waited.push(PollFd::new(&input.from, PollFlags::IN));
                places.push(Ready::Typed);
            }
            _ => {}
        }
        for (place, output) in self.outputs.iter().enumerate() {
            if let Some(output) = output {
                waited.push(PollFd::new(&output.from, PollFlags::IN));
                places.push(Ready::Said(place));
            }
        }
        places
    }

    /// Copies what is ready.
    pub(super) fn copy(&mut self, ready: &[Ready]) -> Result {
        for ready in ready {
            match ready {
                Ready::Typed | Ready::Takes => self.take_input(*ready == Ready::Typed),
                Ready::Said(place) => drop(self.take_output(*place)?),
            }
        }
        Ok(())
    }

    fn take_input(&mut self, typed: bool) {
        let Some(input) = &mut self.input else { return };
        let alive = (!typed || input.read()) && input.write();
        if !alive {
            self.input = None;
        }
    }

    /// Gives whether there was something.
    fn take_output(&mut self, place: usize) -> Result<bool> {
        let Some(output) = &self.outputs[place] else { return Ok(false) };
        let mut buffer = [0; CHUNK];
        match rustix::io::read(&output.from, &mut buffer) {
            Ok(0) => {
                self.outputs[place] = None;
                Ok(false)
            }
            Ok(length) => {
                write_all(&output.to, &buffer[..length]).during("write what it said")?;
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(errno) => Err(errno).during("read what it said"),
        }
    }

    /// It has ended: what it said last is still in the pipes. Who it left behind is not waited for.
    pub(super) fn finish(&mut self) -> Result {
        for place in 0..self.outputs.len() {
            while self.take_output(place)? {}
        }
        Ok(())
    }
}

impl Input {
    /// Gives whether there is still someone to write for.
    fn read(&mut self) -> bool {
        let mut buffer = [0; CHUNK];
        match rustix::io::read(&self.from, &mut buffer) {
            Ok(0) => self.open = false,
            Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.open = false,
        }
        self.open || !self.pending.is_empty()
    }

    /// Gives whether it may go on.
    fn write(&mut self) -> bool {
        while !self.pending.is_empty() {
            match rustix::io::write(&self.to, &self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                // Nobody reads any more.
                Err(_) => return false,
            }
        }
        self.open
    }
}

fn kind(fd: &OwnedFd) -> Kind {
    let Ok(stat) = rustix::fs::fstat(fd) else { return Kind::Other };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo | FileType::Socket => Kind::Harmless,
        FileType::CharacterDevice if (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3) => {
            Kind::Null
        }
        _ => Kind::Other,
    }
}

fn unblock(fd: impl AsFd) -> Result {
    let flags = fcntl_getfl(&fd).during("fcntl")?;
    fcntl_setfl(&fd, flags | OFlags::NONBLOCK).during("fcntl")
}

pub(super) fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            // Somebody else made it so; it is waited for.
            Err(Errno::AGAIN) => drop(rustix::event::poll(&mut [PollFd::new(to, PollFlags::OUT)], None)),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
