//! `names.journal`: what a rebuild needs beyond the blobs themselves, as lines of JSON.
//!
//! The writer appends a group's lines after its commit, without a sync of their own. The commit records how
//! long the journal will be: where a start finds another length (a killed process, a power cut, a restored
//! backup), the journal is written anew from the database.

mod append;
mod line;
mod replay;
mod rewrite;

pub(super) use append::Journal;
pub(super) use line::Line;
pub use replay::{Moved, NamedManifest, NamedTag, Names, State, replay};
pub(super) use rewrite::rewrite;
