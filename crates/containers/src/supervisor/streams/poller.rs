//! What is waited for, behind one descriptor.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::{StreamsError, refused};

/// How many events are taken at once.
const EVENTS: usize = 16;

/// A set of descriptors by token.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
    /// What is waited for now. A descriptor of which nothing is wanted is not in the set: its end would be told without end.
    wanted: BTreeMap<u64, (RawFd, EventFlags)>,
}

impl Poller {
    pub(super) fn new() -> Result<Self, StreamsError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(refused("epoll_create"))?;
        Ok(Self { epoll, wanted: BTreeMap::new() })
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.epoll
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Waits for this of a descriptor from now on.
    pub(super) fn want(&mut self, token: u64, fd: BorrowedFd<'_>, flags: EventFlags) {
        let before = self.wanted.get(&token).copied();
        if before == Some((fd.as_raw_fd(), flags)) || (before.is_none() && flags.is_empty()) {
            return;
        }
        if flags.is_empty() {
            let _ = epoll::delete(&self.epoll, fd);
            self.wanted.remove(&token);
            return;
        }
        let data = EventData::new_u64(token);
        let done = match before {
            Some((number, _)) if number == fd.as_raw_fd() => epoll::modify(&self.epoll, fd, data, flags),
            _ => epoll::add(&self.epoll, fd, data, flags),
        };
        // A descriptor that cannot be waited for (a file) is never the container's: nothing is lost.
        if done.is_ok() {
            self.wanted.insert(token, (fd.as_raw_fd(), flags));
        }
    }

    /// The descriptor is about to be closed.
    pub(super) fn forget(&mut self, token: u64) {
        self.wanted.remove(&token);
    }

    /// What is there now, without waiting.
    pub(super) fn ready(&self) -> Vec<(u64, EventFlags)> {
        let mut events = Vec::<Event>::with_capacity(EVENTS);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&now)) {
            Ok(_) => events.iter().map(|event| (event.data.u64(), event.flags)).collect(),
            Err(_) => Vec::new(),
        }
    }
}
