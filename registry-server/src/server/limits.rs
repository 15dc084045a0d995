//! What one connection and one request may take, where nobody needs to choose.
//! The rest is in `[server.limits]`: [`crate::config::Limits`].

use std::time::Duration;

/// A read buffer of a connection, and the most that headers take together. An upload holds up to three of them (one that is
/// filled, one that waits, one that is hashed): 256 uploads stay within 24 MiB.
pub(super) const READ_BUFFER: usize = 32 << 10;
/// Headers of one request: clients send about ten.
pub(super) const HEADERS: usize = 100;
/// Requests that one HTTP/2 connection may have open.
pub(super) const STREAMS: u32 = 128;
/// What an HTTP/2 client may send ahead on one stream.
pub(super) const STREAM_WINDOW: u32 = 256 << 10;
/// What an HTTP/2 client may send ahead on all its streams.
pub(super) const CONNECTION_WINDOW: u32 = 1 << 20;
/// What is read of a refused body, so that the client gets to read the refusal instead of a reset.
pub(super) const LINGER_BYTES: u64 = 8 << 20;
/// How long that may take.
pub(super) const LINGER: Duration = Duration::from_secs(1);
