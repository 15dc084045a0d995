//! The operations that a vertex can have.

mod exec;
mod file;
mod merge;
mod source;

pub use exec::{Exec, Network, Security};
pub use file::{Copy, FileAction, FileOp, Id, ModeChange, Owner, Unpack};
pub use merge::Merge;
use serde::{Deserialize, Serialize};
pub use source::{Git, Http, Source};

/// What a vertex does. Matches on it are exhaustive: a new kind leads the compiler to every place it touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Brings a tree from outside; no inputs.
    Source(Source),
    /// Runs a program; input 0 is its root file system, the others serve its mounts.
    Exec(Exec),
    /// Writes files; input 0 is the tree it writes onto, the others are what it copies from.
    File(FileOp),
    /// Puts the layers of inputs 1… on those of input 0.
    Merge(Merge),
}
