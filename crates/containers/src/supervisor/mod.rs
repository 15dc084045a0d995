//! The process that watches over one container.

pub mod protocol;
