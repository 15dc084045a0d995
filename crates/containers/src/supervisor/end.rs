//! The container's end: what is recorded, who is told, and what goes.

use std::time::Instant;

use sys::lock::Lock;

use super::Supervisor;
use super::protocol::StartFailure;
use crate::Container;
use crate::event::{Event, Journal};
use crate::network::sidecar::Leaving;
use crate::record::Durability;
use crate::state::Status;
use crate::time::Moment;

/// What a container exited with whose end the kernel did not tell.
const UNKNOWN: i32 = 255;

impl Supervisor {
    /// Takes note of its end. Gives whether it is to be started again.
    pub(super) fn ended(&mut self) -> bool {
        let Some(running) = self.running.take() else { return false };
        let finished = running.wait();
        self.state.oom_killed = finished.as_ref().is_ok_and(|finished| finished.oom_kills > 0);
        let code = finished.map_or(UNKNOWN, |finished| i32::from(finished.status.code()));
        self.tell_end(code);
        self.streams.ended();
        self.health.ended();
        // Started again, it would be stopped again: what it wrote is still there.
        let over = self.disk.ended();
        let state = &mut self.state;
        state.exit_code = Some(code);
        state.finished = Moment::now();
        state.init = None;
        state.groups.clear();
        self.watched.clear();
        let publishes = !state.network.ports.is_empty();
        self.leaving = Leaving::begin(std::mem::take(&mut state.sidecars), publishes);
        state.network = crate::state::Network::default();
        let lived = self.since.elapsed();
        let again = self.restarts.ended(self.config.life.restart, code, state.stopped || over, lived, Instant::now());
        if again {
            self.connections.say_ended_once(code);
            state.status = Status::Restarting;
            drop(self.folder.write_state(state, Durability::Fleeting));
        }
        again
    }

    fn tell_end(&self, code: i32) {
        if self.state.oom_killed {
            self.containers.tell(&self.config, "oom");
        }
        let end = Event::of(&self.config, "die").with("exitCode", code);
        Journal::new(self.containers.layout()).record(&end);
        if self.state.stopped {
            self.containers.tell(&self.config, "stop");
        }
    }

    /// Starts it again. Gives whether there is still something to watch: one that does not start is tried again, too.
    pub(super) fn start_again(&mut self) -> bool {
        self.restarts.starts();
        self.state.restarts = self.restarts.count;
        self.stop = None;
        std::mem::take(&mut self.leaving).wait();
        match self.launch(None) {
            Ok(_) => {
                self.watch_sidecars();
                self.watch_keeper();
                true
            }
            Err(failure) => {
                let code = i32::from(failure.code);
                self.failed(&failure);
                let now = Instant::now();
                self.restarts.ended(self.config.life.restart, code, false, std::time::Duration::ZERO, now)
            }
        }
    }

    fn failed(&mut self, failure: &StartFailure) {
        self.state.error = Some(failure.message.clone());
        self.state.exit_code = Some(i32::from(failure.code));
        self.state.finished = Moment::now();
    }

    /// It did not start the first time: it stays what it was, with the reason.
    pub(super) fn give_up(mut self, failure: &StartFailure) {
        self.failed(failure);
        self.state.supervisor = None;
        if self.state.started.is_never() {
            self.state.status = Status::Created;
            self.state.finished = Moment::NEVER;
        } else {
            self.state.status = Status::Exited;
        }
        drop(std::fs::remove_file(self.folder.control()));
        drop(self.folder.write_state(&self.state, self.config.durability()));
        if self.config.life.remove {
            remove(&self.containers, self.folder, self.config, self.state, self.lock);
        }
    }

    /// It has ended for good. Gives our own exit code.
    pub(super) fn finish(mut self) -> u8 {
        self.state.status = Status::Exited;
        self.state.supervisor = None;
        self.state.sidecars.clear();
        let code = self.state.exit_code.unwrap_or(UNKNOWN);
        // From here on nobody finds us; who is connected is answered below.
        drop(std::fs::remove_file(self.folder.control()));
        let Self { containers, folder, config, state, lock, mut connections, streams, disk, mut leaving, held, .. } =
            self;
        // Before the answers: who hears of the end may start it again at once, or another in its place.
        let written = if config.life.remove {
            remove(&containers, folder, config, state, lock);
            leaving.free_ports();
            true
        } else {
            let written = folder.write_state(&state, config.durability());
            leaving.free_ports();
            drop(lock);
            written.is_ok()
        };
        drop(held);
        connections.say_ended(code);
        // Last: who reads slowly holds up nobody but himself.
        streams.finish(code, disk.why());
        leaving.wait();
        u8::from(!written)
    }
}

fn remove(
    containers: &crate::Containers,
    folder: crate::layout::Folder,
    config: crate::Config,
    state: crate::State,
    lock: Lock,
) {
    let container = Container { folder, config, state };
    // Renamed since: its links are found by what is written.
    let durability = container.durability();
    if containers.remove(&container, lock).is_err() {
        // What is left is a folder that the next sweep takes away, or a container that says that it ended.
        drop(container.folder.write_state(&container.state, durability));
    }
}
