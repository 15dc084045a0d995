//! The processes that serve the container's network, while it runs: one that dies is taken note of, and told.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::Supervisor;
use crate::event::{Event, Journal};
use crate::process::has_ended;
use crate::record::Durability;
use crate::state::ProcessId;

/// A sidecar, and what polls readable when it has ended.
pub(super) type Watched = (ProcessId, OwnedFd);

impl Supervisor {
    /// Watches over those that its state names.
    pub(super) fn watch_sidecars(&mut self) {
        let sidecars = self.state.sidecars.clone();
        self.watched = sidecars.iter().filter_map(|sidecar| Some((*sidecar, sidecar.open()?))).collect();
        let lives = |sidecar: &ProcessId| self.watched.iter().any(|(watched, _)| watched == sidecar);
        let gone: Vec<_> = sidecars.into_iter().filter(|sidecar| !lives(sidecar)).collect();
        self.lose(&gone);
    }

    /// One of them has ended.
    pub(super) fn look_after_sidecars(&mut self) {
        let ended = self.watched.extract_if(.., |(_, pidfd)| has_ended(pidfd, Duration::ZERO));
        let gone: Vec<_> = ended.map(|(sidecar, _)| sidecar).collect();
        self.lose(&gone);
    }

    fn lose(&mut self, gone: &[ProcessId]) {
        if gone.is_empty() {
            return;
        }
        for sidecar in gone {
            // Another's child is its parent's to wait for.
            let _ = sys::clone::wait(sidecar.pid, false);
            let carrier = self.state.network.driver.as_deref().unwrap_or("forwarder");
            let why = format!("process {} that served its network ({carrier}) has ended", sidecar.pid);
            let event = Event::of(&self.config, "network_lost").with("error", &why);
            Journal::new(self.containers.layout()).record(&event);
            self.state.network.notes.push(why);
        }
        self.state.sidecars.retain(|sidecar| !gone.contains(sidecar));
        // It is so whether it is written or not.
        drop(self.folder.write_state(&self.state, Durability::Fleeting));
    }
}
