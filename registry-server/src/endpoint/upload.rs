//! Not here yet.

use http::{Response, StatusCode};
use oci::ErrorCode;

use crate::body::Body;
use crate::refusal::{Refusal, Result};
use crate::server::Call;

/// Refuses.
pub(crate) async fn begin(_call: Call) -> Result<Response<Body>> {
    Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ErrorCode::Unsupported, "not here yet"))
}

/// Refuses.
pub(crate) async fn status(_call: Call) -> Result<Response<Body>> {
    Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ErrorCode::Unsupported, "not here yet"))
}

/// Refuses.
pub(crate) async fn append(_call: Call) -> Result<Response<Body>> {
    Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ErrorCode::Unsupported, "not here yet"))
}

/// Refuses.
pub(crate) async fn finish(_call: Call) -> Result<Response<Body>> {
    Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ErrorCode::Unsupported, "not here yet"))
}

/// Refuses.
pub(crate) async fn cancel(_call: Call) -> Result<Response<Body>> {
    Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ErrorCode::Unsupported, "not here yet"))
}
