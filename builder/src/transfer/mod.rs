//! Images on their way: from registries, layouts and archives into the store, out of it, and from one to another.
//!
//! [`pull`] fetches what an image needs and the store has not, [`push`] sends what a registry has not, [`copy`] carries
//! exact bytes between any two places. All of them tell what they do as [`Event`]s and never show a byte that was not
//! compared with its digest.

pub mod copy;
mod event;
pub mod pull;
pub mod push;

pub use event::{Direction, Event, Item, ItemKind, Sink, Step};
