//! What the container's first process tells us before it becomes the user's program.

use std::os::fd::{AsFd, BorrowedFd};

use serde::{Deserialize, Serialize};

use super::error::StartError;
use super::stub::Stubs;
use crate::channel;

/// One message. The trampoline adds its own kind: four bytes, the errno of a failed exec. Then the socket closes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// Of who joins: the process that will be the program comes with this.
    Joined {
        /// Its number, as seen from outside.
        pid: i32,
    },
    /// The other end of the terminal comes with this.
    Terminal,
    /// The end at which the filter's questions arrive comes with this.
    Listener {
        /// The groups that the program's user is in.
        groups: Vec<u32>,
    },
    /// All is prepared; this file is about to be executed.
    Ready {
        /// Its path inside.
        program: String,
        /// What was made for mounts.
        stubs: Stubs,
    },
    /// It won't start.
    Failed {
        /// Why.
        error: StartError,
        /// What was made for mounts until then.
        stubs: Stubs,
    },
}

impl Report {
    pub(super) fn send(&self, socket: impl AsFd, fds: &[BorrowedFd<'_>]) -> Result<(), StartError> {
        let bytes = serde_json::to_vec(self).map_err(|error| StartError::Invalid(error.to_string()))?;
        channel::send(socket, &bytes, fds).map_err(StartError::from)
    }
}
