//! Which system calls a container may make.

use serde::{Deserialize, Serialize};

/// The filter of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// docker's default profile.
    Default,
    /// None.
    Unconfined,
    /// A profile in docker's JSON form, as text.
    Custom(String),
}
