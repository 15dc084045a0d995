//! What builds leave behind: a line in the history each, and a folder of logs for those that had something to do.
//!
//! ```text
//! <store>/logs/history.jsonl        one line a build, appended at its end
//!              <build>/build.json   the vertices
//!                      events.jsonl what happened, with times; locked while the build runs
//!                      N.log        what step N said
//!                      failed.json  what the failed step left
//! ```

mod read;
mod write;

pub(crate) use read::{State, Step, find, folder, is_running, list, remove, steps};
use serde::{Deserialize, Serialize};
pub(crate) use write::{Recorder, append, now_millis};

/// The history's file, in the folder of logs.
const HISTORY: &str = "history.jsonl";

/// The events' file, in a build's folder.
const EVENTS: &str = "events.jsonl";

/// How a build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// It is at work; never in the history.
    Running,
    /// It ran steps, and gave its result.
    Built,
    /// Everything was there.
    Cached,
    /// A step or an export failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// Its process was killed; never in the history.
    Lost,
}

impl Outcome {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Built => "built",
            Self::Cached => "cached",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

/// A build in the history. Times are milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Names its folder.
    pub(crate) id: String,
    /// Since 1970.
    pub(crate) started: i64,
    /// From its start to its end.
    pub(crate) took: u64,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// What was built.
    #[serde(flatten)]
    pub(crate) subject: Subject,
    /// The names of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    /// The image's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image: Option<String>,
    /// Steps that were found in the cache.
    #[serde(default)]
    pub(crate) cached: u32,
    /// Steps that were looked at.
    #[serde(default)]
    pub(crate) steps: u32,
    /// The step that failed, or the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

/// What a build builds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// The folder.
    #[serde(default)]
    pub(crate) context: String,
    /// The Dockerfile.
    #[serde(default)]
    pub(crate) file: String,
    /// The stage, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
}
