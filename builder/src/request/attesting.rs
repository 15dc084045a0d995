//! What is said of an image besides the image.

use serde::{Deserialize, Serialize};

/// Provenance, and what is in the image.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attesting {}
