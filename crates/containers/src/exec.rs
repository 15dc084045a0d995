//! One more process in a container that runs.

use std::path::PathBuf;

use runtime::container::join::Target;
use runtime::container::{Isolation, Spec, StartError, WindowSize};
use runtime::ladder::{Probe, Rung};

use crate::launch::{self, LaunchError};
use crate::{Config, State, Status};

/// What is to run inside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exec {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Variables besides the container's, or instead of them.
    pub env: Vec<(String, String)>,
    /// Another working directory than the container's.
    pub cwd: Option<String>,
    /// Another user than the container's.
    pub user: Option<String>,
    /// The size of its terminal, if it is to have one.
    pub terminal: Option<WindowSize>,
    /// Whether it may do everything, whatever the container may.
    pub privileged: bool,
}

/// Why nothing can be run in a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It does not run.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// It is frozen: what joined it would be, too.
    #[error("container {0} is paused")]
    Paused(String),
    /// It is between two lives.
    #[error("container {0} is restarting")]
    Restarting(String),
    /// It cannot be joined.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its configuration is not for this machine.
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

impl Exec {
    /// What the runtime starts: as what, with which rights and limits. `owners` is the table of the container's tree.
    ///
    /// # Errors
    /// What cannot be had on this machine.
    pub fn spec(&self, config: &Config, probe: &Probe, owners: PathBuf) -> Result<Spec, LaunchError> {
        let mut spec = launch::guest(config, probe, owners)?;
        spec.args.clone_from(&self.args);
        for (name, value) in &self.env {
            match spec.env.iter_mut().find(|(known, _)| known == name) {
                Some((_, old)) => old.clone_from(value),
                None => spec.env.push((name.clone(), value.clone())),
            }
        }
        if self.terminal.is_some() && !spec.env.iter().any(|(name, _)| name == "TERM") {
            spec.env.push(("TERM".to_owned(), "xterm".to_owned()));
        }
        if let Some(cwd) = &self.cwd {
            spec.cwd.clone_from(cwd);
        }
        if let Some(user) = &self.user {
            spec.user.clone_from(user);
        }
        spec.terminal = self.terminal;
        spec.privileged |= self.privileged;
        Ok(spec)
    }
}

/// The container's processes, held so that they can be joined.
///
/// # Errors
/// It does not run, or we may not.
pub fn target(config: &Config, state: &State, probe: &Probe) -> Result<Target, ExecError> {
    let name = config.name.as_str();
    match state.status {
        Status::Running => {}
        Status::Paused => return Err(ExecError::Paused(name.to_owned())),
        Status::Restarting => return Err(ExecError::Restarting(name.to_owned())),
        Status::Created | Status::Exited => return Err(ExecError::NotRunning(name.to_owned())),
    }
    let init = state.init.ok_or_else(|| ExecError::NotRunning(name.to_owned()))?;
    let isolation = if probe.rung == Rung::Chroot { Isolation::Chroot } else { Isolation::Namespaces };
    Ok(Target::open(init.pid, init.start, isolation, config.process.init)?)
}
