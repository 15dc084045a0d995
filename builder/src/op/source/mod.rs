//! Trees that come from outside. Scratch is an empty chain, and a build context is read where it lies: neither runs; the layers of an
//! image are pulled when something runs on top of them.

pub(crate) mod image;
pub(crate) mod pulled;
