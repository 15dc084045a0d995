//! The single-threaded process that alone clones containers.

use crate::container::{Finished, Spec, StartError, Stdio};

/// The failure of the spawner itself.
#[derive(Debug, thiserror::Error)]
pub enum SpawnerError {
    /// A kernel call failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// The spawner is gone, and its containers with it.
    #[error("the process that starts containers has ended")]
    Gone,
    /// The container didn't start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The parent's handle on its spawner. Usable from many threads; dropping it ends the spawner and its containers.
#[derive(Debug)]
pub struct Spawner {
    _socket: std::os::fd::OwnedFd,
}

/// A container that the spawner started. Dropping it before its end kills it.
#[derive(Debug)]
pub struct Child {
    terminal: Option<std::os::fd::OwnedFd>,
}

impl Spawner {
    /// Forks the spawner. Only a process that has one thread may.
    ///
    /// # Errors
    /// The kernel's refusal; more than one thread.
    pub fn fork() -> Result<Self, SpawnerError> {
        todo!()
    }

    /// Starts a container; returns when its program has taken over.
    ///
    /// # Errors
    /// [`SpawnerError::Start`] where the container is at fault.
    pub fn spawn(&self, _spec: &Spec, _stdio: Stdio) -> Result<Child, SpawnerError> {
        todo!()
    }
}

impl Child {
    /// Its first process, as the spawner sees it.
    pub fn pid(&self) -> i32 {
        todo!()
    }

    /// Our end of its terminal, once.
    pub fn terminal(&mut self) -> Option<std::os::fd::OwnedFd> {
        self.terminal.take()
    }

    /// Waits for its end. Many threads may; all get the same answer.
    ///
    /// # Errors
    /// [`SpawnerError::Gone`].
    pub fn wait(&self) -> Result<Finished, SpawnerError> {
        todo!()
    }

    /// Sends a signal to its first process; one that has ended is not an error.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn kill(&self, _signal: i32) -> Result<(), SpawnerError> {
        todo!()
    }
}
