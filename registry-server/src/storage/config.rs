//! `[storage]`: what may be stored and removed.

use serde::{Deserialize, Serialize};

use crate::config::{Complaints, Duration, Size};

/// `[storage]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Whether tags, manifests, blobs and uploads may be deleted over the wire.
    pub delete: bool,
    /// Whether manifests may reference what is absent.
    pub sparse: bool,
    /// What uploads leave free on the disk; with less left they get 507.
    pub reserve: Size,
    /// How long an upload stays that does not move.
    pub upload_expiry: Duration,
    /// What all objects should take together at most: beyond it, unreferenced ones go sooner. No cap by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Size>,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            delete: true,
            sparse: false,
            reserve: Size::mebibytes(256),
            upload_expiry: Duration::hours(24),
            max_bytes: None,
        }
    }
}

impl Storage {
    /// Says what cannot be.
    pub fn validate(&self, wrong: &mut Complaints) {
        if self.upload_expiry.get().is_zero() {
            wrong.about("upload_expiry", "no upload would live long enough to be finished");
        }
    }
}
