//! `[storage]`: what may be stored and removed.

use serde::{Deserialize, Serialize};

/// `[storage]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Whether tags, manifests and blobs may be deleted over the wire.
    pub delete: bool,
    /// Whether manifests may reference what is absent.
    pub sparse: bool,
}

impl Default for Storage {
    fn default() -> Self {
        Self { delete: true, sparse: false }
    }
}
