//! Control groups: limits of memory and processor time for a container.

mod limits;

pub use limits::Limits;
