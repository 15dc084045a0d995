//! The outer side of a container.

use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Spec, StartError};

/// What a container is connected to.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Its standard input; `None` is `/dev/null`.
    pub stdin: Option<OwnedFd>,
    /// Its standard output; `None` is `/dev/null`.
    pub stdout: Option<OwnedFd>,
    /// Its standard error; `None` is `/dev/null`.
    pub stderr: Option<OwnedFd>,
    /// Descriptors (`O_PATH` serves) that [`super::Source::File`] names by their place here.
    pub files: Vec<OwnedFd>,
}

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It exited, with this code.
    Code(u8),
    /// A signal ended it.
    Signal(i32),
}

impl ExitStatus {
    /// The code that a shell reports: 128 + the signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// Whether it exited with 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

/// What the container used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time of its own.
    pub user: Duration,
    /// Processor time of the kernel on its behalf.
    pub system: Duration,
    /// The most memory that one of its processes held, in KiB.
    pub max_rss_kib: u64,
}

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How the program ended.
    pub status: ExitStatus,
    /// What it used.
    pub usage: Usage,
}

/// A container whose program runs.
#[derive(Debug)]
pub struct Running {
    pid: i32,
    terminal: Option<OwnedFd>,
}

impl Running {
    /// Its first process, as we see it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Our end of its terminal, once.
    pub fn terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// A descriptor that polls readable when it has ended.
    pub fn pidfd(&self) -> std::os::fd::BorrowedFd<'_> {
        todo!()
    }

    /// Sends a signal to its first process.
    ///
    /// # Errors
    /// The kernel's refusal; a process that has ended is not an error.
    pub fn kill(&self, _signal: i32) -> Result<(), StartError> {
        todo!()
    }

    /// Waits for the end and removes the mount points that were made for it.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn wait(self) -> Result<Finished, StartError> {
        todo!()
    }
}

/// Starts a container and returns when its program has taken over.
///
/// # Errors
/// [`StartError`], whose [`StartError::exit_code`] is docker's.
pub fn run(_spec: &Spec, _stdio: Stdio) -> Result<Running, StartError> {
    todo!()
}
