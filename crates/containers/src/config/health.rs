//! How the health of a container is asked.

use serde::{Deserialize, Serialize};

/// How the health of a container is asked. Times are nanoseconds, as in an image's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// `["CMD", …]` or `["CMD-SHELL", "…"]`.
    pub test: Vec<String>,
    /// Between two questions.
    pub interval: u64,
    /// Until an answer is taken for a failure.
    pub timeout: u64,
    /// How long failures do not count at first.
    pub start_period: u64,
    /// Between two questions in that time.
    pub start_interval: u64,
    /// How many failures make it unhealthy.
    pub retries: u32,
}
