//! The privilege ladder: what this process may do here, and what keeps it from more.

use std::path::Path;

use serde::{Deserialize, Serialize};
pub use sys::ns::IdRange;

/// How much of a sandbox the kernel and the machine's set-up grant, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// Root, allowed to mount.
    Root,
    /// An ordinary user with a range of ids of its own, mapped by newuidmap and newgidmap.
    SubordinateIds {
        /// The subordinate user ids.
        uid: IdRange,
        /// The subordinate group ids.
        gid: IdRange,
    },
    /// A user namespace with nothing but the caller's own id in it.
    SingleId,
    /// Root inside a container that refuses namespaces but not chroot.
    Chroot,
    /// Nothing: only builds without RUN.
    Unprivileged,
}

/// Whether overlayfs mounts where snapshots will live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlay {
    /// It does, and takes whiteouts and `user.*` attributes.
    Native,
    /// It doesn't; why.
    Refused(String),
}

/// A better rung that couldn't be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Its name, as [`Rung::name`] has it.
    pub rung: String,
    /// What stood in the way.
    pub why: String,
    /// One line that removes it.
    pub fix: String,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The best rung that works.
    pub rung: Rung,
    /// Overlayfs on that rung, in the probed directory.
    pub overlay: Overlay,
    /// The better rungs, and what blocks them.
    pub blocked: Vec<Blocked>,
}

impl Rung {
    /// Its name in messages: `subordinate-ids`, ….
    pub fn name(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::SubordinateIds { .. } => "subordinate-ids",
            Self::SingleId => "single-id",
            Self::Chroot => "chroot",
            Self::Unprivileged => "unprivileged",
        }
    }
}

/// Why a rung could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// A kernel call failed.
    #[error("cannot enter the {rung} rung: {source}")]
    Call {
        /// The rung's name.
        rung: &'static str,
        /// The call.
        source: sys::Error,
    },
}

/// Finds the best rung by trying, in child processes; `dir` is where overlay mounts will live (the store's snapshots).
pub fn probe(dir: &Path) -> Probe {
    let _ = dir;
    todo!()
}

/// Enters the rung's user and mount namespaces, as root there, with private mount propagation.
///
/// Only in a process that never had a second thread. Nothing to do for [`Rung::Chroot`] and [`Rung::Unprivileged`].
pub fn enter(rung: &Rung) -> Result<(), EnterError> {
    let _ = rung;
    todo!()
}
