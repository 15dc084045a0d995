//! Somebody who is attached.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use runtime::container::WindowSize;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use serde::{Deserialize, Serialize};

use super::frame;
use crate::supervisor::protocol::{Reply, Stream};

/// How much waits for somebody in the background who does not read.
const PATIENCE: usize = 256 << 10;

/// What somebody who attaches wants.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Attachment {
    /// Whether he gives it its input.
    pub stdin: bool,
    /// Whether he wants its output.
    pub output: bool,
    /// Whether it waits for him when he reads too slowly.
    pub foreground: bool,
    /// The size of his terminal.
    pub size: Option<WindowSize>,
}

/// Somebody who is attached.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) token: u64,
    pub(super) about: Attachment,
    socket: OwnedFd,
    /// Frames that he did not take yet.
    waiting: VecDeque<Vec<u8>>,
    gone: bool,
    /// He gets what waits and nothing more.
    leaving: bool,
}

impl Attached {
    pub(super) fn new(token: u64, socket: OwnedFd, about: Attachment) -> Self {
        Self { token, about, socket, waiting: VecDeque::new(), gone: false, leaving: false }
    }

    /// As it was kept over an exec.
    pub(super) fn with_waiting(mut self, waiting: VecDeque<Vec<u8>>) -> Self {
        self.waiting = waiting;
        self
    }

    pub(super) fn waiting(&self) -> &VecDeque<Vec<u8>> {
        &self.waiting
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty() && !self.gone
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone || (self.leaving && self.waiting.is_empty())
    }

    pub(super) fn hang_up(&mut self) {
        self.gone = true;
    }

    /// Sends a frame, or keeps it.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if self.leaving || self.gone || (self.waiting.is_empty() && self.put(bytes)) {
            return;
        }
        self.waiting.push_back(bytes.to_vec());
        let behind: usize = self.waiting.iter().map(Vec::len).sum();
        if !self.about.foreground && behind > PATIENCE {
            self.waiting.clear();
            let why = Reply::Failed("detached: what the container says was not read for too long".to_owned());
            self.waiting.push_back(frame(Stream::Control, &serde_json::to_vec(&why).unwrap_or_default()));
            self.leaving = true;
        }
    }

    /// Sends what waits, as far as he takes it.
    pub(super) fn flush(&mut self) {
        while let Some(first) = self.waiting.pop_front() {
            if !self.put(&first) {
                self.waiting.push_front(first);
                return;
            }
        }
    }

    /// Sends what waits, waiting for him until then at most, or until he is gone.
    pub(super) fn flush_until(&mut self, deadline: Option<Instant>) {
        loop {
            self.flush();
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if !self.is_behind() || left.is_some_and(|left| left.is_zero()) {
                return;
            }
            let left = left.map(|left| Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().max(1).into(),
            });
            let _ = poll(&mut [PollFd::new(&self.socket, PollFlags::OUT)], left.as_ref());
        }
    }

    /// Whether it was sent, or never will be.
    fn put(&mut self, bytes: &[u8]) -> bool {
        loop {
            match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(_) => return true,
                Err(Errno::AGAIN | Errno::NOBUFS) => return false,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.gone = true;
                    return true;
                }
            }
        }
    }

    /// The next frame of his: its kind, and how many bytes of it stand behind the buffer's first.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Option<(Stream, usize)> {
        loop {
            match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => break,
                Ok((length, _)) => match Stream::of(buffer[0]) {
                    Some(stream) => return Some((stream, length - 1)),
                    None => break,
                },
                Err(Errno::AGAIN) => return None,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        self.gone = true;
        None
    }
}

impl AsFd for Attached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
