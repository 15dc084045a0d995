//! Ending a container that may run, from outside.

use std::io;
use std::time::Duration;

use runtime::cgroup::Place;
use sys::lock::Lock;

use super::{Container, Containers};
use crate::State;
use crate::client::{Client, ClientError};
use crate::error::{ContainersError, Result};
use crate::layout::Folder;
use crate::signal::SIGKILL;
use crate::state::Status;
use crate::supervisor::protocol::{Reply, Request};

/// How long a supervisor may take to kill a container, before it is killed itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

impl Containers {
    /// Ends a container at once, whatever it does, and gives it with its lock. `None`: it is gone, having been one to go.
    ///
    /// # Errors
    /// [`ContainersError::Busy`]: another command starts or removes it.
    pub fn end(&self, container: &Container) -> Result<Option<(Container, Lock)>> {
        if container.state.is_active() {
            end_by_supervisor(&container.folder, &container.state);
        }
        self.claim(container)
    }

    /// The container as it is once what ends has ended: one whose first process is gone runs no more, though its supervisor may
    /// still have to write that. Waits for that, but for no new start. `None`: it is gone.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn settled(&self, container: &Container) -> Result<Option<Container>> {
        let state = &container.state;
        let runs = matches!(state.status, Status::Running | Status::Paused);
        if runs && state.init.is_some_and(|init| !init.lives()) {
            let answer =
                Client::connect(&container.folder).and_then(|client| client.ask(&Request::Wait, Some(PATIENCE)));
            if matches!(answer, Err(ClientError::NotRunning | ClientError::Ended)) {
                // It takes no more questions: it is about to let go of the container.
                drop(container.folder.take_lock(PATIENCE));
            }
        }
        self.get(&container.config.id)
    }

    /// Gives a container that does not run with its lock. `None`: it is gone.
    ///
    /// # Errors
    /// [`ContainersError::Busy`]: it runs, or another command starts or removes it.
    pub fn claim(&self, container: &Container) -> Result<Option<(Container, Lock)>> {
        // Reading sets right what a killed supervisor left.
        let Some(container) = self.get(&container.config.id)? else { return Ok(None) };
        match container.folder.take_lock(PATIENCE / 4) {
            Ok(Some(lock)) => match (container.folder.read_config(), container.folder.read_state()) {
                (Ok(config), Ok(state)) => {
                    end_leftovers(config.id.as_str());
                    Ok(Some((Container { folder: container.folder.clone(), config, state }, lock)))
                }
                (Err(error), _) | (_, Err(error)) if is_gone(&error) => Ok(None),
                (Err(error), _) | (_, Err(error)) => Err(error),
            },
            Ok(None) => Err(ContainersError::Busy(container.config.name.clone())),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Has the supervisor end its container at once.
pub(super) fn end_by_supervisor(folder: &Folder, state: &State) {
    let request = Request::Stop { signal: Some(SIGKILL), timeout: Some(0) };
    match Client::connect(folder).and_then(|client| client.ask(&request, Some(PATIENCE))) {
        Ok(Reply::Done | Reply::Ended(_) | Reply::Why(_)) | Err(ClientError::NotRunning | ClientError::Ended) => {}
        // It hangs: its container goes with it, and the lock is free.
        Ok(Reply::Failed(_)) | Err(_) => {
            state.supervisor.map(|supervisor| supervisor.kill(PATIENCE));
        }
    }
}

/// Ends what a supervisor left that was killed before it could write that the container runs.
pub(super) fn end_leftovers(id: &str) {
    let groups = Place::leftovers(id);
    if !groups.is_none() {
        groups.kill();
        groups.remove();
    }
}

/// Whether a file of the container is not there (any more).
pub(super) fn is_gone(error: &ContainersError) -> bool {
    matches!(error, ContainersError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
