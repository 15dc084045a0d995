//! `/metrics`, `/healthz`, `/readyz`: for those who watch over the registry.

use http::{HeaderValue, Response, StatusCode, header};

use crate::body::Body;
use crate::observe::{health, metrics};
use crate::refusal::{Refusal, Result};
use crate::server::Call;

/// The figures, for whoever may look behind the scenes. 404 where they are off or have an address of their own.
pub(crate) async fn figures(call: Call) -> Result<Response<Body>> {
    let config = &call.registry.config.metrics;
    if !config.enabled || config.address.is_some() {
        return Err(Refusal::new(StatusCode::NOT_FOUND, oci::ErrorCode::Unsupported, "there is no such endpoint"));
    }
    call.registry.gate.administer(&call.principal)?;
    let text = call.registry.metrics.text().map_err(Refusal::internal)?;
    let mut response = Response::new(Body::from(bytes::Bytes::from(text)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    Ok(response)
}

/// 200 while the process answers at all.
pub(crate) async fn alive(_call: Call) -> Result<Response<Body>> {
    Ok(text(StatusCode::OK, "ok\n".to_owned()))
}

/// 200 while it can do its work, else 503 and why.
pub(crate) async fn ready(call: Call) -> Result<Response<Body>> {
    let trouble = call.registry.blocking(|registry| Ok(health::readiness(registry))).await?;
    Ok(match trouble.as_slice() {
        [] => text(StatusCode::OK, "ok\n".to_owned()),
        trouble => text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", trouble.join("\n"))),
    })
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes::Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
