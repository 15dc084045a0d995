//! The network of a container.

use serde::{Deserialize, Serialize};

/// The network of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Which.
    pub mode: Mode,
}

/// Which network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The host's.
    #[default]
    Host,
    /// Loopback only.
    None,
    /// One of its own, with a way out.
    Private,
    /// That of another container, by its id.
    Container(crate::ContainerId),
    /// Networks of the user, by name; the first is the default route.
    Networks(Vec<String>),
}
