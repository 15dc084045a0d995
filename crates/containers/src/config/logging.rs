//! Where what a container says goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where what a container says goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// `--log-driver`; `None` is our own.
    pub driver: Option<String>,
    /// `--log-opt`.
    pub options: BTreeMap<String, String>,
}
