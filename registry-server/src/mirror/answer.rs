//! What the mirror answers with.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// The bytes of an answer as they come. An error means that they are not to be trusted: abort the connection.
pub type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// An answer of a blob that is still on its way.
pub struct Answer {
    /// 200 or 206.
    pub status: StatusCode,
    /// Length, range, digest and type.
    pub headers: HeaderMap,
    /// `None` for a `HEAD`.
    pub body: Option<Chunks>,
}

/// How a cached manifest stands to its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Since when the upstream has not been asked.
    pub age: Duration,
    /// The upstream could not be asked, and this is what it said before.
    pub stale: bool,
}

impl Freshness {
    /// Adds `Age`, and `Warning: 110` where it is stale (RFC 9111, section 5).
    pub fn headers(&self, headers: &mut HeaderMap) {
        headers.insert(header::AGE, HeaderValue::from(self.age.as_secs()));
        if self.stale {
            headers.insert(header::WARNING, HeaderValue::from_static("110 - \"Response is Stale\""));
        }
    }
}
