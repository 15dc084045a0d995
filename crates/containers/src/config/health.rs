//! How the health of a container is asked.

use serde::{Deserialize, Serialize};

const SECOND: u64 = 1_000_000_000;

/// docker's: between two questions, and until one counts as failed.
pub const INTERVAL: u64 = 30 * SECOND;
/// docker's: between two questions in the start period.
pub const START_INTERVAL: u64 = 5 * SECOND;
/// docker's: failures in a row that make it unhealthy.
pub const RETRIES: u32 = 3;

/// How the health of a container is asked. Times are nanoseconds, as in an image's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// `["CMD", …]` or `["CMD-SHELL", "…"]`.
    pub test: Vec<String>,
    /// What runs the words of `CMD-SHELL`; empty is `/bin/sh -c`.
    pub shell: Vec<String>,
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
    /// What happens then.
    pub on_failure: OnFailure,
}

/// `--health-on-failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Nothing but that it is told.
    #[default]
    None,
    /// Its first process gets SIGKILL; its restart policy decides what comes then.
    Kill,
    /// It is stopped, as by a user.
    Stop,
    /// It is stopped and started again, whatever its restart policy.
    Restart,
}

impl Health {
    /// The program that answers, and its arguments.
    pub fn args(&self) -> Vec<String> {
        match self.test.split_first() {
            Some((kind, rest)) if kind == "CMD-SHELL" => {
                let shell = if self.shell.is_empty() {
                    vec!["/bin/sh".to_owned(), "-c".to_owned()]
                } else {
                    self.shell.clone()
                };
                shell.into_iter().chain(rest.iter().cloned()).collect()
            }
            Some((_, rest)) => rest.to_vec(),
            None => Vec::new(),
        }
    }
}
