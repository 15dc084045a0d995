//! The registry as clients meet it: a real server on the loopback device, real HTTP, a data directory of its own. A file a topic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod blobs;
mod data;
mod harness;
#[path = "../../crates/remote/tests/client/host.rs"]
mod host;
mod listing;
mod manifests;
mod mirror;
mod names;
mod operations;
mod page;
mod rights;
mod server;
mod uploads;
