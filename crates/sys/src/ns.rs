//! Namespaces: leaving them, mapping ids into them, and who may use which ids.

use serde::{Deserialize, Serialize};

/// Consecutive ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdRange {
    /// The first.
    pub start: u32,
    /// How many.
    pub count: u32,
}
