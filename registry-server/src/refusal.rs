//! Answers that are not what was asked for: the specification's error body.
//! Specification: OCI distribution-spec, "Error Codes".

use http::{HeaderName, HeaderValue, StatusCode};
use oci::ErrorCode;

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

/// The result of an endpoint.
pub type Result<T, E = Refusal> = std::result::Result<T, E>;
