//! One process owns a data directory; others speak to it.
//!
//! The owner holds `lock` in the data directory (flock: it dies with the process) and listens on `control.sock`
//! beside it. A verb of the command line asks [`Owner::take`]: either it becomes the owner and works by itself,
//! or it gets a [`Client`] of the server that runs. Whoever may open the socket is the owner's user or root, and the
//! kernel is asked again who called.

mod client;
mod commands;
mod ownership;
mod service;

pub use client::Client;
pub use commands::{COMMANDS, Collect, Reload, Running, Status, collect};
pub(crate) use commands::{answer, arguments};
pub use ownership::{LOCK, Owner, RootLock, SOCKET};
pub use service::{Command, Progress, Reply, Service};

/// What can go wrong between a verb and the server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else owns the data directory.
    #[error("{} is in use by another process{}", root.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The data directory.
        root: std::path::PathBuf,
        /// Whose it is, where that is known.
        pid: Option<u32>,
    },
    /// A kernel call failed.
    #[error("{call} {}: {source}", path.display())]
    Io {
        /// The call.
        call: &'static str,
        /// What it was applied to.
        path: std::path::PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The server understood, and failed or refused.
    #[error("{0}")]
    Refused(String),
    /// The server's words make no sense, or it went away in the middle.
    #[error("the registry's answer on its control socket: {0}")]
    Protocol(String),
}

/// The result of speaking to the owner of a data directory.
pub type Result<T, E = Error> = std::result::Result<T, E>;
