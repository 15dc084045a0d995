//! The processes that serve the container's network, while it runs: one that dies is taken note of, and told.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::Supervisor;
use crate::event::{Event, Journal};
use crate::process::has_ended;
use crate::record::Durability;
use crate::state::ProcessId;

/// A helper, and what polls readable when it has ended.
pub(super) type Watched = (ProcessId, OwnedFd);

impl Supervisor {
    /// Watches over those that its state names.
    pub(super) fn watch_helpers(&mut self) {
        let helpers = self.state.helpers.clone();
        self.watched = helpers.iter().filter_map(|helper| Some((*helper, helper.open()?))).collect();
        let lives = |helper: &ProcessId| self.watched.iter().any(|(watched, _)| watched == helper);
        let gone: Vec<_> = helpers.into_iter().filter(|helper| !lives(helper)).collect();
        self.lose(&gone);
    }

    /// One of them has ended.
    pub(super) fn look_after_helpers(&mut self) {
        let ended = self.watched.extract_if(.., |(_, pidfd)| has_ended(pidfd, Duration::ZERO));
        let gone: Vec<_> = ended.map(|(helper, _)| helper).collect();
        self.lose(&gone);
    }

    fn lose(&mut self, gone: &[ProcessId]) {
        if gone.is_empty() {
            return;
        }
        for helper in gone {
            // Another's child is its parent's to wait for.
            let _ = sys::clone::wait(helper.pid, false);
            let carrier = self.state.network.driver.as_deref().unwrap_or("forwarder");
            let why = format!("process {} that served its network ({carrier}) has ended", helper.pid);
            let event = Event::of(&self.config, "network_lost").with("error", &why);
            Journal::new(self.containers.layout()).record(&event);
            self.state.network.notes.push(why);
        }
        self.state.helpers.retain(|helper| !gone.contains(helper));
        // It is so whether it is written or not.
        drop(self.folder.write_state(&self.state, Durability::Fleeting));
    }
}
