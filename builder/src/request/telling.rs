//! What a build tells, and what it leaves behind when it fails.

use serde::{Deserialize, Serialize};

/// What a build tells.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Telling {
    /// Say for each miss why it missed.
    pub explain: bool,
    /// Names the folder of the build's logs; made up where absent.
    pub build_id: Option<String>,
    /// Lines of a failing step's log that its error carries.
    pub log_tail: Option<usize>,
}
