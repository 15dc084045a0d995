//! Standing still, and going on.

use runtime::cgroup::{Group, GroupError};

use super::Supervisor;
use crate::record::Durability;
use crate::state::Status;

impl Supervisor {
    /// Stops every process of the container.
    pub(super) fn pause(&mut self) -> Result<(), String> {
        match self.state.status {
            Status::Paused => return Err("it is paused already".to_owned()),
            Status::Running => {}
            _ => return Err("it does not run".to_owned()),
        }
        self.health.suspend();
        self.group().freeze().map_err(explain)?;
        self.frozen(true);
        Ok(())
    }

    /// Lets them go on.
    pub(super) fn unpause(&mut self) -> Result<(), String> {
        if self.state.status != Status::Paused {
            return Err("it is not paused".to_owned());
        }
        self.group().thaw().map_err(explain)?;
        self.frozen(false);
        Ok(())
    }

    /// Who is frozen hears no signal, and in the older version of control groups does not die of one.
    pub(super) fn wake(&mut self) {
        if self.state.status == Status::Paused && self.group().thaw().is_ok() {
            self.frozen(false);
        }
    }

    fn group(&self) -> Group {
        Group::at(self.state.groups.clone())
    }

    fn frozen(&mut self, frozen: bool) {
        self.state.status = if frozen { Status::Paused } else { Status::Running };
        // The kernel knows it anyhow; a boot ends it.
        drop(self.folder.write_state(&self.state, Durability::Fleeting));
    }
}

fn explain(error: GroupError) -> String {
    match error {
        GroupError::None => {
            "it has no control group that could be stopped: `estiba run --memory=…` says why there is none, \
                             and `estiba doctor` what helps"
                .to_owned()
        }
        other => other.to_string(),
    }
}
