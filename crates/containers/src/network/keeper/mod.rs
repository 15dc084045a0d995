//! The process that keeps the user's networks while containers are in them: one a store.
//!
//! An ordinary user's containers see each other only in one network namespace with bridges, and only within one user namespace; both
//! are the keeper's. Root's bridges are on the host, and the keeper answers names there. It begins with the first container
//! ([`ensure`]), ends with the last, and nothing is lost by its death but what it answers: who comes next begins another one, which
//! finds out from `.leases` who is still there, and connects them again.
//!
//! ```text
//! <store>/networks/.start    held while a keeper is looked for or begun
//!                  .keeper   held by the keeper
//!                  .socket   where it listens
//!                  .leases   who is where
//! ```

mod attach;
mod begin;
mod client;
mod forwarding;
mod place;
pub mod protocol;
mod serve;
mod way_out;

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use runtime::ladder::Rung;

pub use client::{Keeper, ensure, find, follow, join, leases, tidy};

use super::definition::NetworkError;

/// The first argument of a keeper, which no user types.
const MARK: &str = "\u{1}estiba-networks";

/// Says that a keeper is in its user namespace already.
const HERE: &str = "here";

/// What goes wrong with a keeper.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// A kernel call.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// A network, or an address of one.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The keeper's user namespace.
    #[error(transparent)]
    Enter(#[from] runtime::ladder::EnterError),
    /// A file of its.
    #[error("{0} {1}: {2}")]
    Io(&'static str, PathBuf, std::io::Error),
    /// A word of its.
    #[error("the keeper of the networks said what is not understood: {0}")]
    Words(#[from] serde_json::Error),
    /// What it said.
    #[error("{0}")]
    Refused(String),
    /// It did not begin, or ended at once.
    #[error("the keeper of the networks ended before it answered")]
    Ended,
    /// A child of its ended.
    #[error("a process in another network namespace ended before it answered")]
    Child,
    /// There is no place for networks.
    #[error("user networks need namespaces, which this machine refuses on the {0} rung: `--network host` works")]
    Rung(&'static str),
}

/// The keeper's files.
#[derive(Debug, Clone)]
struct Files {
    folder: PathBuf,
}

impl Files {
    fn of(store: &Path) -> Self {
        Self { folder: crate::layout::Layout::new(&store::Layout::new(store)).networks() }
    }

    fn start(&self) -> PathBuf {
        self.folder.join(".start")
    }

    fn lock(&self) -> PathBuf {
        self.folder.join(".keeper")
    }

    fn leases(&self) -> PathBuf {
        self.folder.join(".leases")
    }

    /// The socket by way of a descriptor of its folder: an address holds 108 bytes only.
    fn address(&self) -> Result<(std::fs::File, PathBuf), KeeperError> {
        use std::os::fd::AsRawFd;
        let folder =
            std::fs::File::open(&self.folder).map_err(|error| KeeperError::Io("open", self.folder.clone(), error))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/.socket", folder.as_raw_fd()));
        Ok((folder, path))
    }
}

/// What a keeper is told as it begins.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The store's folder.
    pub store: PathBuf,
    /// What this machine allows.
    pub rung: Rung,
    /// Where it says that it is there, or why it is not.
    pub ready: RawFd,
    /// Whether it is in its user namespace already: that of a container whose keeper was killed.
    pub here: bool,
}

/// What is to be done, when this process is a keeper.
pub fn entry(arguments: &[OsString]) -> Option<Plan> {
    match arguments {
        [_, mark, store, rung, ready, more @ ..] if mark == MARK => Some(Plan {
            store: PathBuf::from(store),
            rung: serde_json::from_str(rung.to_str()?).ok()?,
            ready: ready.to_str()?.parse().ok()?,
            here: more.first().is_some_and(|word| word == HERE),
        }),
        _ => None,
    }
}

/// Is a keeper, for as long as one is needed. Gives its exit code.
pub fn main(plan: &Plan) -> u8 {
    begin::run(plan)
}

#[cfg(test)]
mod tests;
