//! The policy file.

pub mod pattern;

pub use pattern::Pattern;
