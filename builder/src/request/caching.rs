//! Caches besides the store: where results come from, and where they go.

use serde::{Deserialize, Serialize};

/// Caches besides the store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Caching {}
