//! What a container may do.

use serde::{Deserialize, Serialize};

/// What a container may do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Isolation {
    /// Capabilities added.
    pub cap_add: Vec<String>,
    /// Capabilities dropped.
    pub cap_drop: Vec<String>,
    /// The filter of system calls.
    pub seccomp: Option<runtime::container::Seccomp>,
    /// Whether set-user-id programs gain nothing.
    pub no_new_privs: bool,
    /// Everything at once.
    pub privileged: bool,
}
