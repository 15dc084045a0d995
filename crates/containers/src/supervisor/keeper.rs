//! The keeper of the user's networks, as a container in them needs it: one that was killed is followed by another, which finds out who
//! is still there and connects them again. The first supervisor that sees the end begins it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use runtime::ladder::Rung;
use rustix::pipe::{PipeFlags, pipe_with};
use sys::fork::Forked;

use super::Supervisor;
use super::serve::{Waits, Who};
use crate::config::NetworkMode;
use crate::event::{Event, Journal};
use crate::network::keeper;

/// Between two beginnings: what ends sooner would end again.
const PAUSE: Duration = Duration::from_secs(2);
/// After one that failed: what is missing does not come back by itself.
const LONG_PAUSE: Duration = Duration::from_secs(60);
/// The longest that a reason is which is read.
const MAX_WORDS: u64 = 4 << 10;

/// What is known of the keeper.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// Polls readable when it has ended.
    keeper: Option<OwnedFd>,
    /// Another one that is being begun.
    beginning: Option<Beginning>,
    /// When another is begun.
    due: Option<Instant>,
    /// When one was begun last.
    last: Option<Instant>,
}

impl Following {
    pub(super) fn waits<'w>(&'w self, waits: &mut Waits<'w>) {
        if let Some(keeper) = &self.keeper {
            waits.fd(Who::Keeper, keeper, rustix::event::PollFlags::IN);
        }
        if let Some(beginning) = &self.beginning {
            waits.fd(Who::Follower, &beginning.said, rustix::event::PollFlags::IN);
        }
        waits.until(self.due);
    }

    /// Whether nobody is at work.
    pub(super) fn is_quiet(&self) -> bool {
        self.beginning.is_none()
    }

    /// It has ended, killed or because nobody needs it.
    pub(super) fn ended(&mut self, now: Instant) {
        self.keeper = None;
        let earliest = self.last.and_then(|last| last.checked_add(PAUSE));
        self.due = Some(earliest.map_or(now, |earliest| earliest.max(now)));
    }
}

impl Supervisor {
    /// Watches the keeper, where the container is in networks of the user.
    pub(super) fn watch_keeper(&mut self) {
        (self.following.keeper, self.following.due) = (None, None);
        let Some(keeper) = self.keeper_of_ours() else { return };
        match keeper.open() {
            Some(pidfd) => self.following.keeper = Some(pidfd),
            None => self.following.ended(Instant::now()),
        }
    }

    /// The keeper that has, or had, the container in its networks: one that ends by itself leaves nobody.
    fn keeper_of_ours(&self) -> Option<crate::state::ProcessId> {
        if !matches!(self.config.network.mode, NetworkMode::Networks(_)) {
            return None;
        }
        let leases = keeper::leases(self.containers.store().root()).ok()?;
        leases.of(&self.config.id)?;
        leases.keeper
    }

    /// Begins another keeper when that is due.
    pub(super) fn tick_keeper(&mut self, now: Instant) {
        if self.following.due.take_if(|due| *due <= now).is_none() || self.keeper_of_ours().is_none() {
            return;
        }
        self.following.last = Some(now);
        match Beginning::begin(self.containers.store().root(), &self.probe.rung) {
            Ok(beginning) => self.following.beginning = Some(beginning),
            Err(error) => self.lost(&error.to_string()),
        }
    }

    /// Another keeper has begun, or has not.
    pub(super) fn followed(&mut self) {
        match self.following.beginning.take().map(Beginning::finish) {
            Some(Err(why)) => self.lost(&why),
            Some(Ok(())) => self.watch_keeper(),
            None => {}
        }
    }

    fn lost(&mut self, why: &str) {
        let event = Event::of(&self.config, "network_lost").with("error", why);
        Journal::new(self.containers.layout()).record(&event);
        self.following.due = Instant::now().checked_add(LONG_PAUSE);
    }
}

/// A keeper that is being begun, by a child of ours: it waits for others that begin one, and until all containers are connected
/// again. Dropped, the child ends; a keeper that it has begun stays.
#[derive(Debug)]
struct Beginning {
    process: Option<Forked>,
    /// Readable when it is over.
    said: File,
}

impl Beginning {
    fn begin(store: &Path, rung: &Rung) -> sys::Result<Self> {
        let (said, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| sys::Error::new("pipe", "", errno))?;
        let process = sys::fork::child(|| {
            // No lock of ours is held by it, no connection is open in it.
            drop(sys::exec::close_inherited(3, &[theirs.as_raw_fd()]));
            match keeper::follow(store, rung) {
                Ok(()) => 0,
                Err(error) => {
                    let _ = rustix::io::write(&theirs, error.to_string().as_bytes());
                    1
                }
            }
        })?;
        Ok(Self { process: Some(process), said: File::from(said) })
    }

    /// Why there is none.
    fn finish(mut self) -> Result<(), String> {
        let mut words = String::new();
        let heard = (&self.said).take(MAX_WORDS).read_to_string(&mut words);
        let code = self.process.take().map(Forked::wait);
        match (heard, code) {
            (Ok(_), Some(Ok(0))) => Ok(()),
            _ if words.is_empty() => Err(keeper::KeeperError::Ended.to_string()),
            _ => Err(words),
        }
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
            drop(process.wait());
        }
    }
}
