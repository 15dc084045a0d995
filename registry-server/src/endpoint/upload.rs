//! The endpoints of an upload: begin, ask, append, finish, cancel; and mounting a blob instead.
//! Specification: OCI distribution-spec, "Pushing blobs", "Mounting a blob from another repository".

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use oci::{Algorithm, Digest, ErrorCode, RepositoryName};

use crate::Registry;
use crate::auth::{Action, Push};
use crate::body::Body;
use crate::metadata::BlobRow;
use crate::query::Query;
use crate::range;
use crate::refusal::{Refusal, Result};
use crate::route;
use crate::server::Call;
use crate::storage::{DEFAULT_ALGORITHM, UploadId};
use crate::time::Instant;
use crate::upload::{self, Chunk, Target};
use crate::webhook::{Event, Kind};

/// What a chunk should have at least: each costs a saved state and a round trip. Smaller ones are taken all the same.
const CHUNK_MIN_LENGTH: HeaderValue = HeaderValue::from_static("65536");

/// Repositories that are looked at for a blob to mount when the client names none.
const SOURCES: usize = 32;

/// Counts a request among those that receive bytes, as long as it lives.
struct Receiving(Arc<Registry>);

impl Receiving {
    fn new(call: &Call) -> Self {
        call.registry.metrics.uploads.inc();
        Self(Arc::clone(&call.registry))
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.metrics.uploads.dec();
    }
}

/// Begins an upload; or stores a blob at once (`digest=`), or mounts it (`mount=`).
pub(crate) async fn begin(call: Call) -> Result<Response<Body>> {
    let (push, query) = (call.push()?, call.query()?);
    if let Some(text) = query.one("mount")?
        && let Some(response) = mount(&call, &push, route::digest(text)?, query.one("from")?).await?
    {
        return Ok(response);
    }
    if let Some(text) = query.one("digest")?
        && query.one("mount")?.is_none()
    {
        let (chunk, target) = (whole(&call)?, target(&call, &push, route::digest(text)?));
        let uploads = Arc::clone(&call.registry.uploads);
        let _counted = Receiving::new(&call);
        let row = uploads.whole(&push, chunk, call.body, target).await?;
        return created(&call.registry, &push, row).await;
    }
    let id = call.registry.uploads.begin(&push, algorithm(&query)?).await?;
    let mut response = session(&push, &id, 0, StatusCode::ACCEPTED)?;
    response.headers_mut().insert(HeaderName::from_static("oci-chunk-min-length"), CHUNK_MIN_LENGTH);
    Ok(response)
}

/// Tells how far an upload came.
pub(crate) async fn status(call: Call) -> Result<Response<Body>> {
    let (push, id) = (call.push()?, call.upload_id()?);
    let offset = call.registry.uploads.status(&push, &id).await?;
    session(&push, &id, offset, StatusCode::NO_CONTENT)
}

/// Appends a chunk, or a whole stream, to an upload.
pub(crate) async fn append(call: Call) -> Result<Response<Body>> {
    let (push, id, chunk) = (call.push()?, call.upload_id()?, chunk(&call)?);
    let _counted = Receiving::new(&call);
    let offset = call.registry.uploads.append(&push, &id, chunk, call.body).await?;
    session(&push, &id, offset, StatusCode::ACCEPTED)
}

/// Finishes an upload, with or without a last chunk.
pub(crate) async fn finish(call: Call) -> Result<Response<Body>> {
    let (push, id, chunk) = (call.push()?, call.upload_id()?, chunk(&call)?);
    let query = call.query()?;
    let Some(text) = query.one("digest")? else {
        let message = "an upload is finished with ?digest=";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid, message));
    };
    let target = target(&call, &push, route::digest(text)?);
    let _counted = Receiving::new(&call);
    let row = call.registry.uploads.finish(&push, &id, chunk, call.body, target).await?;
    created(&call.registry, &push, row).await
}

/// Ends an upload.
pub(crate) async fn cancel(call: Call) -> Result<Response<Body>> {
    let (push, id) = (call.push()?, call.upload_id()?);
    if !call.registry.config.storage.delete {
        return Err(no_deletes());
    }
    call.registry.uploads.cancel(&push, &id).await?;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// 405: nothing may be deleted here.
pub(super) fn no_deletes() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, "deleting is switched off in this registry")
}

/// Mounts a blob of a repository that the caller may read: `from`, or any. `None` where there is none: the client uploads.
async fn mount(call: &Call, push: &Push, digest: Digest, from: Option<&str>) -> Result<Option<Response<Body>>> {
    let from = match from.map(str::parse::<RepositoryName>) {
        None => None,
        Some(Ok(from)) => Some(from),
        Some(Err(_)) => return Ok(None),
    };
    let (push, principal) = (push.clone(), call.principal.clone());
    let mounted = call.registry.blocking(move |registry| {
        let sources = match from {
            Some(from) => vec![from],
            None => registry.metadata.holders(&digest, SOURCES)?,
        };
        let repository = push.repository();
        let quotas = registry.quotas(repository);
        for source in sources.iter().filter(|source| registry.gate.may(&principal, Action::Pull, source)) {
            let at = Instant::now();
            if registry
                .metadata
                .mount_blob(repository, &digest, source, &quotas, at)
                .map_err(|error| registry.refuse_write(repository, push.actor(), error))?
            {
                tell(registry, &push, Kind::BlobMounted, || Event::BlobMounted { digest, from: source.clone() });
                return Ok(Some(created_at(repository, &digest)?));
            }
        }
        Ok(None)
    });
    mounted.await
}

/// Records an event if anybody wants it; a lost one does not undo the write that it tells of. Blocking.
fn tell(registry: &Registry, push: &Push, kind: Kind, event: impl FnOnce() -> Event) {
    if registry.events.wants(kind) {
        registry.tell(push.repository(), push.actor(), Instant::now(), &[event()]);
    }
}

fn target(call: &Call, push: &Push, digest: Digest) -> Target {
    let (registry, pusher) = (Arc::clone(&call.registry), push.clone());
    let refuse = move |error| registry.refuse_write(pusher.repository(), pusher.actor(), error);
    Target { digest, quotas: call.registry.quotas(push.repository()), refuse: Arc::new(refuse) }
}

/// What the request's headers say of its body.
fn chunk(call: &Call) -> Result<Chunk> {
    let range = match call.header(header::CONTENT_RANGE)? {
        None => None,
        Some(text) => Some(range::sent(text).ok_or_else(|| {
            let message = "Content-Range is FIRST-LAST, such as 0-1023";
            Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid, message)
        })?),
    };
    let waits = call.parts.headers.contains_key(header::EXPECT);
    Ok(Chunk { range, length: call.body.size_hint().exact(), waits })
}

/// What the headers say of a blob that comes at once: a range has to be all of it.
fn whole(call: &Call) -> Result<Chunk> {
    let chunk = chunk(call)?;
    match &chunk.range {
        Some(range) if range.start != 0 || chunk.length.is_some_and(|length| length != range.end) => {
            let message = "the range is not all of the body";
            Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::BlobUploadInvalid, message))
        }
        _ => Ok(chunk),
    }
}

/// `digest-algorithm=`.
fn algorithm(query: &Query) -> Result<Algorithm> {
    match query.one("digest-algorithm")? {
        None => Ok(DEFAULT_ALGORITHM),
        Some("sha256") => Ok(Algorithm::Sha256),
        Some("sha512") => Ok(Algorithm::Sha512),
        Some(_) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::DigestInvalid,
            "this digest algorithm is not supported: use sha256 or sha512",
        )),
    }
}

/// The answer of a session that goes on.
fn session(push: &Push, id: &UploadId, offset: u64, status: StatusCode) -> Result<Response<Body>> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let value = |text: String| HeaderValue::try_from(text).map_err(Refusal::internal);
    headers.insert(header::LOCATION, value(upload::location(push, id))?);
    headers.insert(header::RANGE, value(range::held(offset))?);
    headers.insert("docker-upload-uuid", value(id.as_str().to_owned())?);
    if status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    }
    Ok(response)
}

async fn created(registry: &Arc<Registry>, push: &Push, row: BlobRow) -> Result<Response<Body>> {
    let response = created_at(push.repository(), &row.digest)?;
    if registry.events.wants(Kind::BlobPushed) {
        let push = push.clone();
        let event = move || Event::BlobPushed { digest: row.digest, size: row.size };
        registry
            .blocking(move |registry| {
                tell(registry, &push, Kind::BlobPushed, event);
                Ok(())
            })
            .await?;
    }
    Ok(response)
}

/// The answer of a blob that is here now.
fn created_at(repository: &RepositoryName, digest: &Digest) -> Result<Response<Body>> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::CREATED;
    let value = |text: String| HeaderValue::try_from(text).map_err(Refusal::internal);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, value(format!("/v2/{repository}/blobs/{digest}"))?);
    headers.insert("docker-content-digest", value(digest.to_string())?);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    Ok(response)
}
