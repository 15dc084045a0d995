//! One request on its way to its endpoint, with all that is known of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::request::Parts;
use http::{Method, StatusCode};
use oci::{Digest, ErrorCode, RepositoryName};

use crate::Registry;
use crate::auth::{Delete, Peer, Principal, Pull, Push};
use crate::refusal::{Refusal, Result};
use crate::route::{Parameters, Reference};
use crate::server::Inbound;
use crate::storage::UploadId;

/// The name of a request, in the answer's `X-Request-Id` and in the log: unique in this process's life and,
/// by a random part, beyond it. Never taken from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    process: u32,
    count: u64,
}

impl RequestId {
    /// The next one.
    pub(super) fn next() -> Self {
        static PROCESS: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let process = *PROCESS.get_or_init(|| getrandom::u32().unwrap_or_else(|_| std::process::id()));
        Self { process, count: COUNT.fetch_add(1, Ordering::Relaxed) }
    }

    /// As a header. Written digit by digit: each answer has one.
    pub(super) fn header(self) -> http::HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let bits = u128::from(self.process) << 64 | u128::from(self.count);
        let text: [u8; 24] = std::array::from_fn(|at| DIGITS[(bits >> (4 * (23 - at)) & 15) as usize]);
        http::HeaderValue::from_bytes(&text).unwrap_or_else(|_| http::HeaderValue::from_static("0"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:016x}", self.process, self.count)
    }
}

/// A request whose row was found and whose caller is known.
#[derive(Debug)]
pub struct Call {
    /// The state that all requests share.
    pub registry: Arc<Registry>,
    /// Method, URI and headers.
    pub parts: Parts,
    /// What the client sends.
    pub body: Inbound,
    /// The other end of the connection.
    pub peer: Arc<Peer>,
    /// Who calls.
    pub principal: Principal,
    /// The request's name.
    pub id: RequestId,
    /// What the path holds.
    pub parameters: Parameters,
}

impl Call {
    /// Whether only the headers are wanted. The body of the answer is dropped behind the endpoint; what is
    /// costly to make may be left out here, if `Content-Length` is set.
    pub fn is_head(&self) -> bool {
        self.parts.method == Method::HEAD
    }

    /// The repository in the path.
    ///
    /// # Errors
    /// 400 NAME_INVALID.
    pub fn repository(&self) -> Result<RepositoryName> {
        self.parameters.repository()
    }

    /// Proof that the caller may read the repository in the path.
    ///
    /// # Errors
    /// 400 for a bad name; 401 or 403.
    pub fn pull(&self) -> Result<Pull> {
        self.registry.gate.pull(&self.principal, &self.repository()?)
    }

    /// Proof that the caller may upload into the repository in the path.
    ///
    /// # Errors
    /// 400 for a bad name; 401 or 403.
    pub fn push(&self) -> Result<Push> {
        self.registry.gate.push(&self.principal, &self.repository()?)
    }

    /// Proof that the caller may delete in the repository in the path.
    ///
    /// # Errors
    /// 400 for a bad name; 401 or 403.
    pub fn delete(&self) -> Result<Delete> {
        self.registry.gate.delete(&self.principal, &self.repository()?)
    }

    /// The digest in the path.
    ///
    /// # Errors
    /// 400 DIGEST_INVALID.
    pub fn digest(&self) -> Result<Digest> {
        self.parameters.digest()
    }

    /// The tag or digest in the path.
    ///
    /// # Errors
    /// 400 DIGEST_INVALID or MANIFEST_INVALID.
    pub fn reference(&self) -> Result<Reference> {
        self.parameters.reference()
    }

    /// The upload in the path.
    ///
    /// # Errors
    /// 404 BLOB_UPLOAD_UNKNOWN: what is no id cannot be one of ours.
    pub fn upload_id(&self) -> Result<UploadId> {
        let text = self.parameters.get("id").unwrap_or_default();
        UploadId::parse(text)
            .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown, "no such upload"))
    }

    /// The query, parsed.
    ///
    /// # Errors
    /// 400 or 414, see [`crate::query::Query::parse`].
    pub fn query(&self) -> Result<crate::query::Query> {
        crate::query::Query::parse(self.parts.uri.query().unwrap_or_default())
    }

    /// A header's text; `None` where it is absent.
    ///
    /// # Errors
    /// 400 where it is no visible ASCII.
    pub fn header(&self, name: http::HeaderName) -> Result<Option<&str>> {
        let Some(value) = self.parts.headers.get(&name) else { return Ok(None) };
        value.to_str().map(Some).map_err(|_| {
            Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, format!("the header {name} is not ASCII"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_name() {
        let id = RequestId { process: 0xdead_beef, count: 0x1f };
        assert_eq!(id.to_string(), "deadbeef000000000000001f");
        assert_eq!(id.header(), id.to_string().as_str());
        assert_ne!(RequestId::next(), RequestId::next());
    }
}
