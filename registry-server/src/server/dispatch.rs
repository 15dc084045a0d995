//! From a request to its answer: the row, the caller, the endpoint, and what every answer carries.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;

use super::limits::{LINGER, LINGER_BYTES};
use super::{Call, Inbound, RequestId, Shared};
use crate::auth::{Peer, Principal};
use crate::body::Body;
use crate::refusal::{Refusal, Result};
use crate::route::{self, Access};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Answers one request. Never fails: what goes wrong is an answer, too.
pub(super) async fn answer(shared: Arc<Shared>, peer: Arc<Peer>, request: Request<Incoming>) -> Response<Body> {
    let started = std::time::Instant::now();
    let id = RequestId::next();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let outcome = match shared.requests.try_acquire() {
        Ok(_permit) => run(&shared, Arc::clone(&peer), id, request).await,
        Err(_) => Err(Refusal::too_many("the registry answers too many requests: come back soon", 1)),
    };
    let mut response = outcome.unwrap_or_else(|refusal| {
        if refusal.status.is_server_error() {
            let cause = refusal.cause.as_deref().unwrap_or_default();
            tracing::error!(request = %id, method = method.as_str(), ?path, status = refusal.status.as_u16(), cause, "request failed");
        }
        refusal.into_response()
    });
    complete(&mut response, &method, &path, id);
    tracing::info!(
        target: "access",
        request = %id,
        address = ?peer.address,
        method = method.as_str(),
        // Quoted: whatever a client writes stays within its field.
        ?path,
        status = response.status().as_u16(),
        micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    response
}

async fn run(shared: &Shared, peer: Arc<Peer>, id: RequestId, request: Request<Incoming>) -> Result<Response<Body>> {
    let (parts, incoming) = request.into_parts();
    let mut body = Inbound::new(incoming, shared.limits.body_timeout.get());
    let admitted = async {
        let (row, parameters) = route::find(&parts.method, parts.uri.path())?;
        let principal = match row.access {
            Access::Caller => shared.registry.gate.authenticate(&parts, &peer).await?,
            Access::Open => Principal::anonymous(),
        };
        Ok((row, parameters, principal))
    };
    let (row, parameters, principal) = match admitted.await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            linger(&parts.headers, &mut body).await;
            return Err(refusal);
        }
    };
    let registry = Arc::clone(&shared.registry);
    let call = Call { registry, parts, body, peer, principal, id, parameters };
    match AssertUnwindSafe((row.endpoint)(call)).catch_unwind().await {
        Ok(answer) => answer,
        Err(panic) => Err(Refusal::internal(panic_message(&*panic))),
    }
}

/// Reads what a refused client goes on sending, within bounds: closing a socket that holds unread bytes resets it, and
/// the client never sees why. One that asked first (`Expect`) is not told to go on.
pub(crate) async fn linger(headers: &http::HeaderMap, body: &mut Inbound) {
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    let drain = async { while body.received() < LINGER_BYTES && matches!(body.next().await, Ok(Some(_))) {} };
    let _ = tokio::time::timeout(LINGER, drain).await;
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_default())
}

/// What every answer carries; and the body of an answer to HEAD goes, its length stays.
fn complete(response: &mut Response<Body>, method: &Method, path: &str, id: RequestId) {
    if method == Method::HEAD {
        let body = std::mem::take(response.body_mut());
        if let (false, Some(length)) =
            (response.headers().contains_key(header::CONTENT_LENGTH), body.size_hint().exact())
        {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    if path.starts_with("/v2") {
        headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    }
    // A blob is whatever somebody pushed: no browser shall guess that it is a page.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
