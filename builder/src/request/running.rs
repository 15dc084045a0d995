//! What the programs of RUN are run with. Nothing in here is part of a cache key.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What RUNs are run with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Running {
    /// A PEM file of authorities that RUNs trust besides their own.
    pub ca_bundle: Option<PathBuf>,
}
