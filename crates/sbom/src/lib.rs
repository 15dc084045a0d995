//! What is installed in a file tree: the packages that its package managers recorded, and those that programs carry within.
//!
//! Nothing here has an effect: a tree is read through [`Files`], everything found is data of a stranger and read with a bound
//! on every size and count. What cannot be read is a [`Problem`] beside the packages, never a failure of the rest.

mod apk;
mod bounded;
mod cargo;
mod deb;
mod distribution;
mod elf;
mod files;
mod go;
mod inventory;
mod npm;
mod package;
mod purl;
mod python;
mod rpm;
pub mod spdx;
mod stanza;

pub use files::{Content, Entry, Files, Kind};
pub use inventory::{Inventory, Problem, scan};
pub use package::{Distribution, Ecosystem, Package};
