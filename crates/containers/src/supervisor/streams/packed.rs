//! The streams over an exec of the supervisor: numbers of descriptors, which stay open.

use std::collections::VecDeque;
use std::os::fd::{OwnedFd, RawFd};

use runtime::container::WindowSize;
use serde::{Deserialize, Serialize};

use super::attached::{Attached, Attachment};
use super::{Given, Streams, StreamsError};
use crate::Config;
use crate::layout::Folder;
use crate::supervisor::handover::Kept;

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::supervisor) struct Packed {
    sources: [Option<RawFd>; 2],
    stdin: Option<RawFd>,
    terminal: Option<RawFd>,
    given: [Option<RawFd>; 3],
    typed: VecDeque<(u64, Vec<u8>)>,
    ending: bool,
    attached: Vec<(RawFd, u64, Attachment, VecDeque<Vec<u8>>)>,
    next: u64,
    size: Option<WindowSize>,
}

impl Streams {
    /// For when the supervisor executes itself again.
    pub(in crate::supervisor) fn pack<'k>(&'k self, kept: &mut Kept<'k>) -> Packed {
        let Given { stdin, stdout, stderr } = &self.given;
        let mut keep = |fd: &'k Option<OwnedFd>| fd.as_ref().map(|fd| kept.keep(fd));
        let given = [keep(stdin), keep(stdout), keep(stderr)];
        let (stdin, terminal) = (keep(&self.stdin), keep(&self.terminal));
        let [first, second] = &self.sources;
        Packed {
            sources: [first, second].map(|source| source.as_ref().map(|source| kept.keep(source))),
            stdin,
            terminal,
            given,
            typed: self.typed.clone(),
            ending: self.ending,
            attached: self
                .attached
                .iter()
                .map(|one| (kept.keep(one), one.token, one.about.clone(), one.waiting().clone()))
                .collect(),
            next: self.next,
            size: self.size,
        }
    }

    /// The streams again.
    ///
    /// # Errors
    /// A log that cannot be written; a descriptor that is not there.
    pub(in crate::supervisor) fn unpack(
        packed: Packed,
        config: &Config,
        folder: &Folder,
    ) -> Result<Self, StreamsError> {
        let take = |number: Option<RawFd>| number.map(sys::inherit::take).transpose();
        let [stdin, stdout, stderr] = packed.given;
        let given = Given { stdin: take(stdin)?, stdout: take(stdout)?, stderr: take(stderr)? };
        let mut streams = Self::open(config, folder, given)?;
        for (at, number) in packed.sources.into_iter().enumerate() {
            if let Some(fd) = take(number)? {
                streams.set_source(at, fd)?;
            }
        }
        (streams.stdin, streams.terminal) = (take(packed.stdin)?, take(packed.terminal)?);
        for (number, token, about, waiting) in packed.attached {
            let socket = sys::inherit::take(number)?;
            streams.attached.push(Attached::new(token, socket, about).with_waiting(waiting));
        }
        (streams.typed, streams.ending, streams.next, streams.size) =
            (packed.typed, packed.ending, packed.next, packed.size);
        streams.arm();
        Ok(streams)
    }
}
