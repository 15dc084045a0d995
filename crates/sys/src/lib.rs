//! Kernel calls: the one crate of the house that may write `unsafe`.
//!
//! Everything here is a thin, typed shape over one facility of Linux; no policy. Errors name the call and the path
//! ([`Error`]); nothing prints, nothing panics on input.
#![allow(unsafe_code, reason = "this crate is where unsafe lives, so that no other needs it")]

pub mod clone;
pub mod dirents;
mod error;
pub mod exec;
pub mod fork;
pub mod heap;
pub mod inherit;
pub mod landlock;
pub mod lock;
pub mod mapped;
pub mod mark;
pub mod memfd;
pub mod mount;
pub mod netif;
pub mod netlink;
pub mod notify;
pub mod ns;
pub mod pages;
pub mod process;
pub mod reflink;
pub mod root;
pub mod seccomp;
pub mod signal;
pub mod stat;
pub mod writeback;
pub mod xattr;

pub use error::{Error, Result};
pub use root::{OpenFlags, Root};
pub use stat::{FileKind, Stat, Timestamp};
