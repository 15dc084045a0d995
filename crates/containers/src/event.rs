//! What happened, a line each, for `events`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Moment;

/// One thing that happened, in docker's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Moment,
    /// `container`, `volume`, `network`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `create`, `start`, `die`, …
    pub action: String,
    /// To what.
    pub id: String,
    /// More: `name`, `image`, `exitCode`, labels.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}
