//! Git repositories as sources: what a reference names, and a checkout of it.
//!
//! The `git` program does the work: protocols, submodules and their dialects are its trade. It is started with an environment
//! made from nothing ([`program`]): no configuration but ours, no hooks, no prompts, no protocol but http, https, ssh and
//! git's own, a login only for the address that it was given for. Addresses and references come checked, and stand behind
//! `--` all the same.

mod checkout;
mod login;
mod program;
mod refs;

pub use checkout::{Checkout, checkout};
pub use login::Login;
pub use program::{Git, GitError};
pub use refs::{Found, resolve};
