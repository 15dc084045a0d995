//! The distribution-spec server and its mirror.
//!
//! A request's life: [`server`] accepts it, [`route`] finds its row, [`auth`] turns the caller into a
//! [`auth::Principal`] and the principal into a proof, and only then an `endpoint` touches what the
//! proof names. Bytes live behind [`storage::Objects`], everything that is known about them behind
//! [`metadata::Metadata`]: a blob exists for callers when its row does, and the row is written when its
//! bytes are durable. One process owns a data directory; others speak to it through its control socket.
//!
//! Specification: OCI distribution-spec 1.1.1 and its main branch.

pub mod auth;
pub mod body;
mod cache;
pub mod collect;
pub mod config;
pub mod control;
mod cursor;
pub mod data;
mod endpoint;
pub mod jobs;
pub mod manifest;
pub mod metadata;
pub mod mirror;
pub mod observe;
mod outbound;
pub mod page;
pub mod query;
pub mod range;
pub mod refusal;
mod registry;
pub mod route;
pub mod server;
pub mod storage;
pub mod time;
pub mod tls;
pub mod upload;
pub mod webhook;

pub use registry::{OpenError, Registry};
