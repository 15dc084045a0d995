//! Descriptors that the program is handed besides its streams: the sockets of a service manager (`LISTEN_FDS`), and what was asked to be
//! preserved.
//!
//! Who starts the container has them from whoever started it. The supervisor keeps them, over its own exec, so that the program has them
//! again when it is started again; nobody else does.

use std::os::fd::{OwnedFd, RawFd};

use runtime::container::{Spec, Stdio};
use serde::{Deserialize, Serialize};

use super::handover::Kept;

/// As many as there can be.
pub const MAX_HANDED: usize = sys::exec::MAX_HANDED;

/// What the program has from descriptor 3 on.
#[derive(Debug, Default)]
pub struct Handed {
    /// In this order.
    pub fds: Vec<OwnedFd>,
    /// What the program is told of the sockets among them.
    pub sockets: Option<Sockets>,
}

/// What the program is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// How many there are: the first of all.
    pub count: usize,
    /// Their names (`LISTEN_FDNAMES`).
    pub names: Option<String>,
}

/// The same by numbers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Packed {
    fds: Vec<RawFd>,
    sockets: Option<Sockets>,
}

impl Handed {
    /// Gives them to a container that is about to be started.
    pub(super) fn dress(&self, spec: &mut Spec, stdio: &mut Stdio) -> std::io::Result<()> {
        stdio.handed = self.fds.iter().map(OwnedFd::try_clone).collect::<Result<_, _>>()?;
        if let Some(sockets) = &self.sockets {
            spec.env.retain(|(name, _)| !name.starts_with("LISTEN_"));
            // Its number, which only it knows: the runtime writes it.
            spec.env.push(("LISTEN_PID".to_owned(), String::new()));
            spec.env.push(("LISTEN_FDS".to_owned(), sockets.count.to_string()));
            spec.env.extend(sockets.names.iter().map(|names| ("LISTEN_FDNAMES".to_owned(), names.clone())));
        }
        Ok(())
    }

    /// For when the supervisor executes itself again.
    pub(super) fn pack<'k>(&'k self, kept: &mut Kept<'k>) -> Packed {
        Packed { fds: self.fds.iter().map(|fd| kept.keep(fd)).collect(), sockets: self.sockets.clone() }
    }

    pub(super) fn unpack(packed: Packed) -> sys::Result<Self> {
        let fds = packed.fds.into_iter().map(sys::inherit::take).collect::<sys::Result<_>>()?;
        Ok(Self { fds, sockets: packed.sockets })
    }
}
