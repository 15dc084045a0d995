//! Stacking trees.

use serde::{Deserialize, Serialize};

/// Puts the layers of inputs 1… on those of input 0 without reading any: `COPY --link`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Merge {}
