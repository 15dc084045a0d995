//! From a request to its answer: the row, the caller, the endpoint, and what every answer carries.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;

use super::limits::{LINGER, LINGER_BYTES};
use super::rate::Turn;
use super::{Call, Inbound, RequestId, Shared};
use crate::auth::{Audit, Peer, Principal, audit};
use crate::body::Body;
use crate::mirror::Mirror;
use crate::observe::Metrics;
use crate::query::Query;
use crate::refusal::{Refusal, Result};
use crate::route::{self, Access, Parameters, Reference, Row};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Answers one request. Never fails: what goes wrong is an answer, too.
pub(super) async fn answer(shared: Arc<Shared>, peer: Arc<Peer>, request: Request<Incoming>) -> Response<Body> {
    let started = std::time::Instant::now();
    let (parts, incoming) = request.into_parts();
    let mut known = Known {
        id: RequestId::next(),
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        address: peer.address,
        row: None,
        actor: None,
        parameters: Parameters::default(),
    };
    let metrics = Arc::clone(&shared.registry.metrics);
    let body = Inbound::new(incoming, shared.limits.body_timeout.get(), metrics.received.clone());
    let span = shared.traces.as_ref().and_then(|traces| traces.begin(&parts.headers));
    let _in_flight = InFlight::begin(&metrics);
    let credentials = parts.headers.contains_key(header::AUTHORIZATION);
    let outcome = match shared.requests.try_acquire() {
        Ok(_permit) => run(&shared, peer, &mut known, parts, body).await,
        Err(_) => Err(Refusal::too_many("the registry answers too many requests: come back soon", 1)),
    };
    let mut response = outcome.unwrap_or_else(|refusal| {
        known.log_failure(&refusal);
        refusal.into_response()
    });
    complete(&mut response, &known);
    known.audit(&shared, response.status());
    let status = response.status();
    metrics.answered(known.row, &known.method, status, started.elapsed());
    if let Some(length) = response.body().size_hint().exact() {
        metrics.sent.inc_by(length);
    }
    match status {
        StatusCode::UNAUTHORIZED if credentials => drop(metrics.logins_failed.inc()),
        StatusCode::TOO_MANY_REQUESTS => drop(metrics.limited.inc()),
        StatusCode::INSUFFICIENT_STORAGE => shared.registry.collector.wake(),
        _ => {}
    }
    if let Some(span) = span {
        let repository = known.parameters.repository().ok();
        let repository = repository.as_ref().map(oci::RepositoryName::as_str);
        span.end(known.row, &known.method, repository, status, &known.id);
    }
    if shared.registry.config.log.requests {
        known.log(response.status(), started.elapsed());
    }
    response
}

/// A request among those that are being answered: also one whose client goes away leaves them.
struct InFlight(Arc<Metrics>);

impl InFlight {
    fn begin(metrics: &Arc<Metrics>) -> Self {
        metrics.in_flight.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

/// What is known of a request when it is answered, however far it came.
struct Known {
    id: RequestId,
    method: Method,
    path: String,
    address: Option<IpAddr>,
    row: Option<&'static Row>,
    actor: Option<String>,
    parameters: Parameters,
}

impl Known {
    fn log_failure(&self, refusal: &Refusal) {
        if refusal.status.is_server_error() {
            let (id, method, path) = (self.id, self.method.as_str(), self.path.as_str());
            let cause = refusal.cause.as_deref().unwrap_or_default();
            tracing::error!(request = %id, method, path = ?path, status = refusal.status.as_u16(), cause, "request failed");
        }
    }

    /// A line a request. What a client wrote is quoted and stays within its field.
    fn log(&self, status: StatusCode, took: std::time::Duration) {
        tracing::info!(
            target: "access",
            request = %self.id,
            address = ?self.address,
            actor = ?self.actor.as_deref().unwrap_or_default(),
            method = self.method.as_str(),
            path = ?self.path,
            status = status.as_u16(),
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
    }

    fn audit(&self, shared: &Shared, status: StatusCode) {
        let (true, Some(row)) = (Audit::wants(&self.method, status), self.row) else { return };
        let repository = self.parameters.repository().ok();
        let (digest, tag) = match (self.parameters.digest(), self.parameters.reference()) {
            (Ok(digest), _) | (_, Ok(Reference::Digest(digest))) => (Some(digest), None),
            (_, Ok(Reference::Tag(tag))) => (None, Some(tag)),
            _ => (None, None),
        };
        shared.registry.audit.record(&audit::Event {
            what: row.name,
            who: self.actor.as_deref(),
            from: self.address,
            repository: repository.as_ref(),
            digest: digest.as_ref(),
            tag: tag.as_ref(),
            status,
            why: None,
        });
    }
}

async fn run(
    shared: &Shared,
    peer: Arc<Peer>,
    known: &mut Known,
    parts: Parts,
    mut body: Inbound,
) -> Result<Response<Body>> {
    let admitted = match admit(shared, &peer, known, &parts).await {
        Ok((row, principal)) => limit(shared, known, row, &principal).map(|turn| (row, principal, turn)),
        Err(refusal) => Err(refusal),
    };
    let (row, principal, _turn) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            linger(&parts.headers, &mut body).await;
            return Err(refusal);
        }
    };
    let (registry, parameters) = (Arc::clone(&shared.registry), known.parameters.clone());
    let call = Call { registry, parts, body, peer, principal, id: known.id, parameters };
    match AssertUnwindSafe((row.endpoint)(call)).catch_unwind().await {
        Ok(answer) => answer,
        Err(panic) => Err(Refusal::internal(panic_message(&*panic))),
    }
}

/// Counts a request among those of its caller, of whom each may make so many a second and so many at once. Those who
/// only ask how the registry is are always answered.
fn limit<'s>(shared: &'s Shared, known: &Known, row: &Row, principal: &Principal) -> Result<Option<Turn<'s>>> {
    if (shared.rate.is_none() && shared.at_once.is_none()) || matches!(row.name, "health" | "ready") {
        return Ok(None);
    }
    let name = if principal.is_anonymous() { "" } else { known.actor.as_deref().unwrap_or_default() };
    let Some(caller) = shared.callers.of(name, known.address) else { return Ok(None) };
    if let Some(rate) = &shared.rate
        && let Err(wait) = rate.take(caller, std::time::Instant::now())
    {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        return Err(Refusal::too_many("too many requests: slow down", seconds));
    }
    match &shared.at_once {
        None => Ok(None),
        Some(at_once) => match at_once.begin(caller) {
            None => Err(Refusal::too_many("too many requests at once: wait for the others to end", 1)),
            turn => Ok(turn),
        },
    }
}

/// Finds the row and the caller.
async fn admit(shared: &Shared, peer: &Peer, known: &mut Known, parts: &Parts) -> Result<(&'static Row, Principal)> {
    let (row, parameters) = route::find(&parts.method, parts.uri.path())?;
    (known.row, known.parameters) = (Some(row), parameters);
    let principal = match row.access {
        Access::Caller => shared.registry.gate.authenticate(parts, peer).await?,
        Access::Open => Principal::anonymous(),
    };
    known.actor = Some(principal.actor());
    if let Some(mirror) = &shared.registry.mirror
        && row.access == Access::Caller
        && known.parameters.name().is_some()
    {
        resolve(mirror, known, parts).await?;
    }
    Ok((row, principal))
}

/// What is read may be an upstream's: then its name here is another, and the proof is for that one. What is an upstream's
/// takes no pushes.
async fn resolve(mirror: &Mirror, known: &mut Known, parts: &Parts) -> Result<()> {
    let name = known.parameters.repository()?;
    match parts.method {
        // Its uploads are here, whatever a mirror has under its name.
        Method::GET | Method::HEAD if known.parameters.get("id").is_some() => Ok(()),
        Method::GET | Method::HEAD => {
            let query = Query::parse(parts.uri.query().unwrap_or_default())?;
            let resolved = mirror.resolve(&name, query.one("ns")?, asks_before_push(parts, &known.parameters)).await?;
            known.parameters.rename(&resolved);
            Ok(())
        }
        Method::DELETE => Ok(()),
        _ => mirror.refuse_push(&name),
    }
}

/// `HEAD` of a digest: whoever pushes asks so what need not be sent.
fn asks_before_push(parts: &Parts, parameters: &Parameters) -> bool {
    let reference = parameters.get("digest").or_else(|| parameters.get("reference"));
    parts.method == Method::HEAD && reference.is_some_and(|text| text.contains(':'))
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
fn complete(response: &mut Response<Body>, known: &Known) {
    if known.method == Method::HEAD {
        let body = std::mem::take(response.body_mut());
        let length = body.size_hint().exact().filter(|_| !response.headers().contains_key(header::CONTENT_LENGTH));
        if let Some(length) = length {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, known.id.header());
    if known.path.starts_with("/v2") {
        headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    }
    // A blob is whatever somebody pushed: no browser shall guess that it is a page.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
