//! `GET /v2/`: whether this is a registry, and how to log in.
//! Specification: OCI distribution-spec, "Determining Support".

use http::{HeaderValue, Response, header};

use crate::body::Body;
use crate::refusal::Result;
use crate::server::Call;

/// 200, or 401 with a challenge.
pub(crate) async fn version(call: Call) -> Result<Response<Body>> {
    call.registry.gate.base(&call.principal)?;
    let mut response = Response::new(Body::from(bytes::Bytes::from_static(b"{}")));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
