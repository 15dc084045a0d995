//! Answers that are not what was asked for: the specification's error body.
//! Specification: OCI distribution-spec, "Error Codes".

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use oci::ErrorCode;
use serde_json::json;

use crate::body::Body;
use crate::{metadata, storage};

/// Why a request gets no answer of its own. Becomes `{"errors":[{code,message,detail}]}`.
#[derive(Debug)]
pub struct Refusal {
    /// The status line.
    pub status: StatusCode,
    /// The specification's word; `None` for a failure of ours, which has none.
    pub code: Option<ErrorCode>,
    /// For people: names the thing and the next step. Never holds secrets or paths of this machine.
    pub message: String,
    /// For programs.
    pub detail: Option<serde_json::Value>,
    /// Such as `WWW-Authenticate` and `Retry-After`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What the log says beyond it: the cause, paths included.
    pub cause: Option<String>,
}

impl Refusal {
    /// A refusal with one of the specification's codes.
    pub fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { status, code: Some(code), message: message.into(), detail: None, headers: Vec::new(), cause: None }
    }

    /// A failure of ours: 500, and the cause in the log.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: None,
            message: "the registry failed; its log says why".to_owned(),
            detail: None,
            headers: Vec::new(),
            cause: Some(cause.to_string()),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds detail for programs.
    #[must_use]
    pub fn detail(mut self, detail: serde_json::Value) -> Self {
        self.detail = Some(detail);
        self
    }
}

impl Refusal {
    /// A limit of ours stands in the way: 429, and when to come back.
    pub fn too_many(message: impl Into<String>, seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, message)
            .with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// A failure of the transport or of ours that the specification has no word for.
    pub fn plain(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), cause: None, ..Self::internal("") }
    }

    /// What went wrong behind it, for the log alone.
    #[must_use]
    pub fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// The answer. A failure without a word of the specification's says `UNKNOWN`, as other registries do.
    pub fn into_response(self) -> Response<Body> {
        let code = self.code.map_or_else(|| json!("UNKNOWN"), |code| json!(code));
        let mut error = json!({ "code": code, "message": self.message });
        if let Some(detail) = self.detail {
            error["detail"] = detail;
        }
        let body = Bytes::from(json!({ "errors": [error] }).to_string());
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

/// A full disk is 507, the client's to retry; all else is ours.
impl From<storage::Error> for Refusal {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Full(_) => full().because(error),
            other => Self::internal(other),
        }
    }
}

impl From<metadata::Error> for Refusal {
    fn from(error: metadata::Error) -> Self {
        let message = error.to_string();
        match error {
            metadata::Error::Absent(digests) => Self::new(
                StatusCode::BAD_REQUEST,
                ErrorCode::ManifestBlobUnknown,
                "the manifest references what this repository does not hold: push it first",
            )
            .detail(json!({ "digests": digests })),
            metadata::Error::Immutable(_) | metadata::Error::UpdateDenied(_) => {
                Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message)
            }
            metadata::Error::Quota { prefix, limit, used } => {
                Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, "the quota of these repositories is used up")
                    .detail(json!({ "prefix": prefix, "limit": limit, "used": used }))
            }
            metadata::Error::Full => full().because(message),
            _ => Self::internal(message),
        }
    }
}

fn full() -> Refusal {
    Refusal::plain(StatusCode::INSUFFICIENT_STORAGE, "the registry's disk is full")
}

/// The result of an endpoint.
pub type Result<T, E = Refusal> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    async fn said(refusal: Refusal) -> (u16, Value) {
        let response = refusal.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), serde_json::from_slice::<Value>(&body).unwrap()["errors"][0].take())
    }

    #[tokio::test]
    async fn a_body_says_the_specification_s_word() {
        for (refusal, status, code) in [
            (Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BlobUnknown, "m"), 404, "BLOB_UNKNOWN"),
            (Refusal::too_many("m", 3), 429, "TOOMANYREQUESTS"),
            (metadata::Error::Absent(vec![oci::Digest::sha256(b"")]).into(), 400, "MANIFEST_BLOB_UNKNOWN"),
            (metadata::Error::Immutable("v".to_owned()).into(), 403, "DENIED"),
            (metadata::Error::Quota { prefix: "a".to_owned(), limit: 1, used: 2 }.into(), 403, "DENIED"),
            (metadata::Error::Full.into(), 507, "UNKNOWN"),
            (storage::Error::Full("/secret".into()).into(), 507, "UNKNOWN"),
        ] {
            let (got, error) = said(refusal).await;
            assert_eq!((got, error["code"].as_str()), (status, Some(code)));
        }
    }

    #[tokio::test]
    async fn what_failed_here_stays_here() {
        let (status, error) = said(storage::Error::Missing("/var/lib/secret".to_owned()).into()).await;
        assert_eq!((status, error["message"].as_str()), (500, Some("the registry failed; its log says why")));
        assert_eq!(error.get("detail"), None);
    }
}
