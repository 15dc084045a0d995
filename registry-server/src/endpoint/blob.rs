//! Not here yet.

use http::{Response, StatusCode};
use oci::ErrorCode;

use crate::body::Body;
use crate::refusal::{Refusal, Result};
use crate::server::Call;

/// Refuses.
pub(crate) async fn get(_call: Call) -> Result<Response<Body>> {
    Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ErrorCode::Unsupported, "not here yet"))
}

/// Refuses.
pub(crate) async fn delete(_call: Call) -> Result<Response<Body>> {
    Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ErrorCode::Unsupported, "not here yet"))
}
