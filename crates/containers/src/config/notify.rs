//! What the service manager hears of a container and hands over to it.

use serde::{Deserialize, Serialize};

/// What the service manager hears of a container and hands over to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Notify {
    /// Who says that it is ready.
    pub ready: Ready,
}

/// `--sdnotify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// The program itself.
    #[default]
    Container,
    /// Its supervisor, once the program runs.
    Conmon,
    /// The first good answer to the question for its health.
    Healthy,
    /// Nobody.
    Ignore,
}
