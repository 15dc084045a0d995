//! The page to look at: repositories, tags with their history and the way back, layers, referrers, storage.
//!
//! Every page is one document made on the server from what a `read` function found; there is no script, and the policy
//! that is sent along forbids any. What is shown of other people's text goes through [`text`].
//! Readers are authenticated and authorised like clients of the API, form by form.

mod answer;
mod blobs;
pub mod document;
mod facts;
mod fault;
mod figure;
mod home;
pub mod image;
mod manifest;
mod origin;
mod place;
mod pull;
mod query;
mod repository;
mod shell;
mod storage;
mod style;
mod tag;
mod text;
mod undo;

pub(crate) use answer::answer;
pub use storage::Figures;
