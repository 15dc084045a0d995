//! A stream that a container writes: the end of a pipe, or its terminal.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pty::OpenptFlags;

use crate::log::{Sink, Source, record};
use crate::supervisor::protocol::{MAX_FRAME, Stream};

/// From how many bytes on moving them without a look is cheaper than reading.
const WORTH_MOVING: usize = 32 << 10;
/// A pipe that is found as full as this is too small.
const FULL: usize = 60 << 10;
/// How often, until it is made greater.
const OFTEN: u32 = 4;
/// How great it becomes. The kernel counts the pipes of a user together, so that only busy ones may have it.
const GREAT: usize = 1 << 20;

/// A stream that a container writes.
#[derive(Debug)]
pub(super) struct SourceEnd {
    fd: OwnedFd,
    at: usize,
    /// The other end of a terminal that its container closed: held, so that the terminal goes on.
    peer: Option<OwnedFd>,
    full: u32,
    /// Closed inside, and nothing to hold it by: nothing comes any more.
    idle: bool,
}

/// What came.
pub(super) enum Progress {
    /// So many bytes, into the buffer behind its first byte.
    Read(usize),
    /// Some, which nobody looked at.
    Moved,
    /// None now.
    Nothing,
    /// None ever.
    End,
}

impl SourceEnd {
    pub(super) fn new(at: usize, fd: OwnedFd) -> Self {
        Self { fd, at, peer: None, full: 0, idle: false }
    }

    /// Whether nothing can come although it is open.
    pub(super) fn is_idle(&self) -> bool {
        self.idle
    }

    /// Takes one piece, into the log and, with `listeners`, into the buffer, as a frame.
    pub(super) fn take(&mut self, sink: &mut Sink, buffer: &mut [u8], listeners: bool, pipe: bool) -> Progress {
        let (source, stream) = [(Source::Stdout, Stream::Stdout), (Source::Stderr, Stream::Stderr)][self.at];
        if pipe && !listeners && sink.takes_pipes() {
            let there = rustix::io::ioctl_fionread(&self.fd).ok().and_then(|there| usize::try_from(there).ok());
            if let Some(there) = there.filter(|there| *there >= WORTH_MOVING) {
                self.widen(there);
                if sink.splice(source, self.fd.as_fd(), there.min(record::MAX_LENGTH)) > 0 {
                    return Progress::Moved;
                }
            }
        }
        match rustix::io::read(&self.fd, &mut buffer[1..=MAX_FRAME]) {
            Ok(0) => Progress::End,
            Ok(length) => {
                buffer[0] = stream as u8;
                sink.write(source, &buffer[1..=length]);
                Progress::Read(length)
            }
            Err(Errno::AGAIN | Errno::INTR) => Progress::Nothing,
            Err(Errno::IO) if !pipe => self.hold(),
            Err(_) => Progress::End,
        }
    }

    fn widen(&mut self, there: usize) {
        if there >= FULL && self.full < OFTEN {
            self.full += 1;
            if self.full == OFTEN {
                // Past what the user may have it stays as it is.
                let _ = rustix::pipe::fcntl_setpipe_size(&self.fd, GREAT);
            }
        }
    }

    /// The container closed its terminal, and may open it again.
    fn hold(&mut self) -> Progress {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        match rustix::pty::ioctl_tiocgptpeer(&self.fd, flags) {
            Ok(peer) if self.peer.is_none() => self.peer = Some(peer),
            _ => self.idle = true,
        }
        Progress::Nothing
    }
}

impl AsFd for SourceEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
