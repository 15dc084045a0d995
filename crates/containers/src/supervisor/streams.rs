//! What a container reads and says.

use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use runtime::channel::{self, Received};
use runtime::container::{Stdio, WindowSize};
use rustix::event::PollFlags;
use serde::{Deserialize, Serialize};

use super::handover::Kept;
use super::protocol::{self, Control, Reply, Stream};
use super::serve::{Waits, Who};
use crate::Config;
use crate::layout::Folder;

/// What who starts a container gives it from the start.
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
}

/// The streams between two programs of one supervisor, descriptors by their numbers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Packed {
    given: [Option<RawFd>; 3],
    attached: bool,
    front: Option<RawFd>,
    terminal: Option<RawFd>,
}

/// The streams of one container.
#[derive(Debug)]
pub(super) struct Streams {
    given: Given,
    log: PathBuf,
    attached: bool,
    front: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
}

impl Streams {
    pub(super) fn new(_config: &Config, folder: &Folder, given: Given, attached: bool) -> std::io::Result<Self> {
        Ok(Self { given, log: folder.log(), attached, front: None, terminal: None })
    }

    /// For when the supervisor executes itself again.
    pub(super) fn pack<'k>(&'k self, kept: &mut Kept<'k>) -> Packed {
        let Given { stdin, stdout, stderr } = &self.given;
        let mut keep = |fd: &'k Option<OwnedFd>| fd.as_ref().map(|fd| kept.keep(fd));
        Packed {
            given: [keep(stdin), keep(stdout), keep(stderr)],
            attached: self.attached,
            front: keep(&self.front),
            terminal: keep(&self.terminal),
        }
    }

    /// The streams again.
    pub(super) fn unpack(packed: Packed, folder: &Folder) -> sys::Result<Self> {
        let take = |number: Option<RawFd>| number.map(sys::inherit::take).transpose();
        let [stdin, stdout, stderr] = packed.given;
        Ok(Self {
            given: Given { stdin: take(stdin)?, stdout: take(stdout)?, stderr: take(stderr)? },
            log: folder.log(),
            attached: packed.attached,
            front: take(packed.front)?,
            terminal: take(packed.terminal)?,
        })
    }

    /// What the container is connected to, for this start of it.
    pub(super) fn stdio(&mut self) -> std::io::Result<Stdio> {
        let copy = |fd: &Option<OwnedFd>| fd.as_ref().map(OwnedFd::try_clone).transpose();
        if self.attached {
            let Given { stdin, stdout, stderr } = &self.given;
            return Ok(Stdio { stdin: copy(stdin)?, stdout: copy(stdout)?, stderr: copy(stderr)?, files: Vec::new() });
        }
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.log)?;
        Ok(Stdio { stdin: None, stdout: Some(log.try_clone()?.into()), stderr: Some(log.into()), files: Vec::new() })
    }

    /// The container's program runs.
    pub(super) fn started(&mut self, terminal: Option<OwnedFd>) {
        self.terminal = terminal;
    }

    /// The terminal, for who started the container.
    pub(super) fn lend(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().filter(|_| self.attached).map(AsFd::as_fd)
    }

    /// Who started the container is connected by this.
    pub(super) fn front(&mut self, socket: OwnedFd) {
        if self.attached {
            self.front = Some(socket);
        }
    }

    /// Somebody attaches.
    pub(super) fn attach(&mut self, socket: OwnedFd, _stdin: bool, _output: bool, _size: Option<WindowSize>) {
        drop(protocol::send(&socket, &Reply::Failed("nobody can attach to it yet".to_owned())));
    }

    pub(super) fn waits<'w>(&'w self, waits: &mut Waits<'w>) {
        if let Some(front) = &self.front {
            waits.fd(Who::Streams(0), front, PollFlags::IN);
        }
    }

    /// Something is ready. Gives the signals that are to be passed on to the container.
    pub(super) fn ready(&mut self, _number: usize, _flags: PollFlags) -> Vec<i32> {
        let Some(front) = &self.front else { return Vec::new() };
        match channel::receive(front, false) {
            Ok(Received::Packet(bytes, _)) => match bytes.split_first() {
                Some((kind, body)) if *kind == Stream::Control as u8 => match serde_json::from_slice(body) {
                    Ok(Control::Signal(signal)) => vec![signal],
                    Ok(Control::Resize(_)) | Err(_) => Vec::new(),
                },
                _ => Vec::new(),
            },
            Ok(Received::Nothing) => Vec::new(),
            Ok(Received::End) | Err(_) => {
                self.front = None;
                Vec::new()
            }
        }
    }

    /// The container has ended; what it said last is still to be taken.
    pub(super) fn ended(&mut self) {
        self.terminal = None;
    }

    /// The container has ended for good.
    pub(super) fn say_ended(&mut self, code: i32) {
        if let Some(front) = self.front.take() {
            // Who was attached may be gone.
            drop(protocol::send_control(&front, &Reply::Ended(code)));
        }
    }

    /// Whether somebody was connected from the start.
    pub(super) fn is_attached(&self) -> bool {
        self.attached
    }

    /// Whether nothing waits to be passed on.
    pub(super) fn is_quiet(&self) -> bool {
        true
    }
}
