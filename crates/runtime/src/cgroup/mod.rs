//! Control groups: limits of memory and processor time for a container, and what it uses.
//!
//! A [`Place`] is found once: the group in which a process of ours may make others, on either version of the interface. Each
//! container gets a group of its own in it ([`Group`]), which its first process enters before anything else, and which is
//! removed after its end. Where there is no such place, limits are not to be had, and why is said in words ([`NoPlace`]).
//!
//! Where we may not make groups ourselves, but a service manager of ours may, it is asked for a unit that is ours to divide
//! ([`systemd`]).

mod freeze;
mod group;
mod limits;
mod mounts;
mod outlook;
mod place;
mod settings;
pub mod systemd;
mod unified;
mod usage;

pub(crate) use group::enter;
pub use group::{Group, GroupError};
pub use limits::{Limits, Rate, Throttle, UNLIMITED};
pub use outlook::{Maker, maker};
pub use place::{Found, NoPlace, Place, Wanted};
pub use usage::Sample;
