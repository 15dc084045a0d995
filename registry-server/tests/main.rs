//! The registry as clients meet it: a real server on the loopback device, real HTTP, a data directory of its own. A file a topic.

mod harness;
mod listing;
mod manifests;
mod names;
mod server;
