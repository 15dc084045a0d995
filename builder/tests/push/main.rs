//! Pushes to the house's own registry, and to hosts that count what comes.

#![expect(clippy::unwrap_used, reason = "it is a test")]

mod again;
mod collect;
mod forms;
mod origins;
mod rig;
mod trouble;
