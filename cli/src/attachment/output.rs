//! What the container said, on its way to our own streams: written only as far as they take it, so that signals are heard while
//! whoever reads us does not read.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::error::{Result, While};

/// What a pipe that takes anything takes at once (PIPE_BUF); a terminal, too.
const PIECE: usize = 4096;

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    written: usize,
    stream: usize,
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// The stream that is waited for.
    pub(super) fn stream(&self) -> Option<usize> {
        (!self.is_empty()).then_some(self.stream)
    }

    /// Something to write; only where nothing waits.
    pub(super) fn put(&mut self, stream: usize, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        (self.stream, self.written) = (stream, 0);
    }

    /// Writes as long as the stream takes something.
    pub(super) fn write_ready(&mut self) -> Result {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        while !self.is_empty() {
            let fd = self.fd();
            if poll(&mut [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::OUT)], Some(&at_once)) != Ok(1) {
                return Ok(());
            }
            self.write()?;
        }
        Ok(())
    }

    /// Writes a piece; the stream is ready.
    pub(super) fn write(&mut self) -> Result {
        let left = &self.bytes[self.written..];
        let fd = self.fd();
        let piece = if is_file(fd.as_fd()) { left } else { &left[..left.len().min(PIECE)] };
        match rustix::io::write(fd.as_fd(), piece) {
            Ok(length) => self.written += length,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno).during("write what the container said"),
        }
        Ok(())
    }

    fn fd(&self) -> Fd {
        if self.stream == 0 { Fd::Out(io::stdout()) } else { Fd::Err(io::stderr()) }
    }
}

enum Fd {
    Out(io::Stdout),
    Err(io::Stderr),
}

impl AsFd for Fd {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        match self {
            Self::Out(out) => out.as_fd(),
            Self::Err(err) => err.as_fd(),
        }
    }
}

fn is_file(fd: impl AsFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}
