//! A layer's other form: a directory. From a tar to a tree, from a tree to a tar, and reading a chain of either.
//!
//! A layer tree is what overlayfs keeps in an upper directory: files as they are, deletions as character devices 0:0
//! (or, where `mknod` is refused, as empty files with an attribute), opaque directories by attribute. [`apply`] makes
//! one from a tar, [`stream`] makes the canonical tar of one, [`LayerBuilder`] makes either or both from entries in one
//! pass, and [`view::TreeView`] reads a chain of layers without mounting it. [`unpack_recorded`] keeps what [`assemble`]
//! needs to give back a foreign tar, byte for byte.
//!
//! Every path that comes from a layer is resolved inside a [`sys::Root`].

mod allowance;
mod apply;
mod assemble;
mod attributes;
mod build;
mod dirs;
mod fill;
mod holes;
mod ids;
mod implied;
mod inode;
mod pipeline;
mod restamp;
mod special;
mod stream;
#[cfg(test)]
mod tests;
mod unpack;
pub mod view;
mod walk;
mod writer;

pub use allowance::Allowance;
pub use apply::{Applied, ApplyError, ApplyOptions, LinkParents, Whiteouts, apply};
pub use assemble::{AssembleError, assemble};
pub use build::{BuildError, Built, LayerBuilder};
pub use ids::IdPolicy;
pub use implied::settle_implied;
pub use inode::WalkError;
pub use restamp::restamp;
pub use stream::{StreamError, StreamOptions, replay, stream};
pub use unpack::{Unpacked, unpack, unpack_recorded};
pub use walk::{Walk, WalkOptions, diff};
