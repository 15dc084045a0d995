//! What is written and what is so: a state is believed only as far as the lock and the processes agree.

use std::fs;
use std::time::Duration;

use super::{Container, Containers};
use runtime::cgroup::{Group, Place};

use crate::error::Result;
use crate::event::{Event, Journal};
use crate::state::{State, Status};
use crate::time::Moment;

/// What a container exited with whose end nobody saw: 128 + SIGKILL.
pub const KILLED: i32 = 137;

/// How long a killed process may take to go: the kernel frees its memory first.
const PATIENCE: Duration = Duration::from_secs(5);

impl State {
    /// Whether it says that a supervisor is at work.
    pub fn is_active(&self) -> bool {
        match self.status {
            Status::Running | Status::Paused | Status::Restarting => true,
            Status::Created | Status::Exited => self.supervisor.is_some(),
        }
    }
}

impl Containers {
    /// The container, set right where its supervisor is gone. `None` for one that was to go with its end: it goes now.
    pub(super) fn reconciled(&self, mut container: Container) -> Result<Option<Container>> {
        if !container.needs_somebody() || container.folder.is_held()? {
            return Ok(Some(container));
        }
        let Some(lock) = container.folder.take_lock(Duration::ZERO)? else { return Ok(Some(container)) };
        // It may have ended by itself, have been started or removed since it was read.
        container.config = container.folder.read_config()?;
        container.state = container.folder.read_state()?;
        if !container.needs_somebody() {
            return Ok(Some(container));
        }
        if container.state.is_active() {
            let boot = store::boot_id().unwrap_or_default();
            set_right(&mut container.state, container.config.id.as_str(), &boot);
            match container.folder.write_state(&container.state, container.durability()) {
                // It is so, and whoever looks next finds it again.
                Err(error) if error.is_full() => {}
                other => other?,
            }
            let end = Event::of(&container.config, "die").with("exitCode", KILLED);
            Journal::new(&self.layout).record(&end);
        }
        drop(fs::remove_file(container.folder.control()));
        if container.config.life.remove {
            self.put_aside(&container)?;
            self.tell(&container.config, "destroy");
            return Ok(None);
        }
        drop(lock);
        Ok(Some(container))
    }
}

impl Container {
    /// Whether it is as it is only while somebody holds its lock: who starts it, watches over it or removes it.
    fn needs_somebody(&self) -> bool {
        let life = &self.config.life;
        match self.state.status {
            _ if self.state.is_active() => true,
            // One that was made to be started later may wait for that.
            Status::Created => life.remove && life.at_once,
            _ => life.remove,
        }
    }
}

/// Ends what a killed supervisor left, and says so.
pub(super) fn set_right(state: &mut State, id: &str, boot: &str) {
    let same_boot = state.boot == boot;
    if same_boot {
        // The number of a process means nothing after another boot.
        for process in state.init.iter().chain(&state.sidecars) {
            process.kill(PATIENCE);
        }
        let written = Group::at(state.groups.clone());
        // One that was killed before it could write where they are.
        let groups = if written.is_none() { Place::leftovers(id) } else { written };
        groups.kill();
        groups.remove();
    }
    let cause = if same_boot { "its supervisor was killed" } else { "the machine went down while it ran" };
    state.status = Status::Exited;
    state.exit_code = Some(KILLED);
    state.error = Some(cause.to_owned());
    state.finished = Moment::now();
    (state.supervisor, state.init) = (None, None);
    state.sidecars.clear();
    state.groups.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ProcessId;

    #[test]
    fn a_process_of_another_boot_is_let_alone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let init = ProcessId::of(child.id().cast_signed());
        let before = State { status: Status::Running, boot: "then".to_owned(), init, ..State::default() };
        let mut state = before.clone();
        set_right(&mut state, "nobody", "now");
        assert_eq!((state.status, state.exit_code, state.init), (Status::Exited, Some(KILLED), None));
        assert!(init.unwrap().lives());
        let mut state = before;
        set_right(&mut state, "nobody", "then");
        assert!(!init.unwrap().lives());
        assert_eq!(state.error.as_deref(), Some("its supervisor was killed"));
        child.wait().unwrap();
    }
}
