//! Pulls from hosts that behave, misbehave, and die.

#![expect(clippy::unwrap_used, reason = "it is a test")]

mod documents;
mod lies;
mod peer;
mod resume;
mod rig;
mod whole;
mod windows;
