//! The keeper of the user's networks, as a container in them needs it: one that was killed is followed by another, which finds out who
//! is still there and connects them again. The first supervisor that sees the end begins it.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::Supervisor;
use super::serve::{Waits, Who};
use crate::config::NetworkMode;
use crate::event::{Event, Journal};
use crate::network::keeper;

/// Between two beginnings: what ends sooner would end again.
const PAUSE: Duration = Duration::from_secs(2);
/// After one that failed: what is missing does not come back by itself.
const LONG_PAUSE: Duration = Duration::from_secs(60);

/// What is known of the keeper.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// Polls readable when it has ended.
    keeper: Option<OwnedFd>,
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
        waits.until(self.due);
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
        match keeper::follow(self.containers.store().root(), &self.probe.rung) {
            Ok(()) => self.watch_keeper(),
            Err(error) => {
                let event = Event::of(&self.config, "network_lost").with("error", error);
                Journal::new(self.containers.layout()).record(&event);
                self.following.due = now.checked_add(LONG_PAUSE);
            }
        }
    }
}
