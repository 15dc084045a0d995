//! A data directory as a whole: its version, its soundness, copies of it, and what comes in from elsewhere.
//!
//! All of it is blocking and prints nothing. The command line runs it on a directory that nobody serves, the server
//! on its own when it is asked through its control socket; both hand in the [`Objects`](crate::storage::Objects)
//! and the [`Metadata`](crate::metadata::Metadata) that they have open.

pub mod backup;
mod error;
pub mod fsck;
pub mod import;
mod intake;
pub mod migrate;
mod pool;
pub mod rebuild;
pub mod served;
mod verify;

pub use error::{Error, Result};
pub use intake::{Choices, Imported};
pub use verify::{Verdict, verify};

/// How far a long work is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// Objects that are done.
    pub objects: u64,
    /// Bytes that are done.
    pub bytes: u64,
    /// Bytes in all; 0 where nobody knows.
    pub total: u64,
}
