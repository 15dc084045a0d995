//! Trees that come from outside. Scratch is an empty chain, and a build context is read where it lies: neither runs.

pub(crate) mod image;
