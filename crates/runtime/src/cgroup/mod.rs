//! Control groups: limits of memory and processor time for a container.
//!
//! A [`Place`] is found once: the group in which a process of ours may make others, on either version of the interface. Each
//! container that asks for limits gets a group of its own in it, which its first process enters before anything else, and
//! which is removed after its end. Where there is no such place, limits are not to be had, and why is said in words.

mod group;
mod limits;
mod mounts;
mod place;

pub(crate) use group::{Group, enter};
pub use limits::Limits;
pub use place::{NoPlace, Place};
