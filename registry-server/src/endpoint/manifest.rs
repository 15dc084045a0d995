//! Manifests: get, put, delete.
//! Specification: OCI distribution-spec, "Pulling manifests", "Pushing Manifests", "Deleting Manifests".
//!
//! **Negotiation.** A manifest is served as it was pushed, whatever `Accept` says: converting it would change its
//! digest, and a client that asked for another type reads the `Content-Type` and decides. So no ordinary
//! client meets a 404 or 406 for a manifest that is there.

use std::io::Read as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use oci::{Algorithm, Digest, ErrorCode, Hasher, RepositoryName, Tag};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Registry;
use crate::auth::{Delete, Pull, Push};
use crate::body::Body;
use crate::cache::Held;
use crate::manifest::{self, Manifest};
use crate::metadata::{BlobRow, Committed, ManifestRow, NewManifest, TagWrite};
use crate::mirror::{Freshness, Wanted};
use crate::refusal::{Refusal, Result};
use crate::route::Reference;
use crate::server::{Call, Inbound, linger};
use crate::time::Instant;
use crate::webhook::{Event, Kind};

/// The digest of what an answer holds.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// How long a manifest may take to arrive.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// `GET` and `HEAD`.
pub(crate) async fn get(call: Call) -> Result<Response<Body>> {
    let pull = call.pull()?;
    let reference = call.reference()?;
    let freshness = ask_upstream(&call.registry, &pull, &reference).await?;
    let held = find(&call.registry, &pull, &reference).await?;
    if call.registry.events.wants(Kind::ManifestPulled) {
        tell_pull(&call.registry, &pull, &reference, held.digest).await;
    }
    let matches = call.parts.headers.get(IF_NONE_MATCH).is_some_and(|wanted| names(wanted, &held.headers));
    let mut response = if matches {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(Body::from(held.bytes.clone()))
    };
    *response.headers_mut() = held.headers.clone();
    if let Some(freshness) = freshness {
        freshness.headers(response.headers_mut());
    }
    Ok(response)
}

async fn ask_upstream(registry: &Registry, pull: &Pull, reference: &Reference) -> Result<Option<Freshness>> {
    let Some(mirror) = &registry.mirror else { return Ok(None) };
    let wanted = match reference {
        Reference::Tag(tag) => Wanted::Tag(tag),
        Reference::Digest(digest) => Wanted::Digest(digest),
    };
    mirror.manifest(pull, wanted).await
}

/// Whether an `If-None-Match` names the entity tag, weakly compared as RFC 9110 asks.
fn names(wanted: &HeaderValue, headers: &HeaderMap) -> bool {
    let (Ok(wanted), Some(Ok(tag))) = (wanted.to_str(), headers.get(ETAG).map(HeaderValue::to_str)) else {
        return false;
    };
    wanted.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// The manifest, from memory or from the disk, its lease renewed.
async fn find(registry: &Arc<Registry>, pull: &Pull, reference: &Reference) -> Result<Arc<Held>> {
    let generation = registry.metadata.generation(pull.repository());
    if let Some(held) = registry.manifests.get(pull.repository(), reference, generation) {
        let now = Instant::now();
        if !held.must_renew(now, now.before(registry.config.gc.renew())) {
            return Ok(held);
        }
    }
    let (repository, reference) = (pull.repository().clone(), reference.clone());
    registry
        .blocking(move |registry| {
            let held = Arc::new(read(registry, &repository, &reference, generation)?);
            registry.manifests.put(&repository, &reference, Arc::clone(&held));
            Ok(held)
        })
        .await
}

fn read(registry: &Registry, repository: &RepositoryName, reference: &Reference, generation: u64) -> Result<Held> {
    let now = Instant::now();
    let row = row(registry, repository, reference)?.ok_or_else(|| unknown(reference))?;
    // What we say is there stays there: gone in between is gone.
    let renew = row.touched < now.before(registry.config.gc.renew());
    if renew && !registry.metadata.touch_manifest(repository, &row.blob.digest, now)? {
        return Err(unknown(reference));
    }
    let leased = if renew { now } else { row.touched };
    let mut object = registry.objects.open(&row.blob.key)?;
    let mut bytes = Vec::with_capacity(usize::try_from(object.size).unwrap_or_default());
    object.file.read_to_end(&mut bytes).map_err(Refusal::internal)?;
    if bytes.len() as u64 != row.blob.size {
        return Err(Refusal::internal(format!("{}: its object has {} bytes", row.blob.digest, bytes.len())));
    }
    let headers = headers(&row)?;
    Ok(Held::new(generation, row.blob.digest, Bytes::from(bytes), headers, leased))
}

fn row(registry: &Registry, repository: &RepositoryName, reference: &Reference) -> Result<Option<ManifestRow>> {
    let digest = match reference {
        Reference::Digest(digest) => *digest,
        Reference::Tag(tag) => match registry.metadata.tag(repository, tag)? {
            Some(row) => row.digest,
            None => return Ok(None),
        },
    };
    Ok(registry.metadata.manifest(repository, &digest)?)
}

fn headers(row: &ManifestRow) -> Result<HeaderMap> {
    let value = |text: String| HeaderValue::try_from(text).map_err(Refusal::internal);
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, value(row.media_type.clone())?);
    headers.insert(CONTENT_DIGEST, value(row.blob.digest.to_string())?);
    headers.insert(ETAG, value(format!("\"{}\"", row.blob.digest))?);
    Ok(headers)
}

fn unknown(reference: &Reference) -> Refusal {
    let message = match reference {
        Reference::Tag(tag) => format!("there is no tag `{tag}` in this repository"),
        Reference::Digest(digest) => format!("there is no manifest {digest} in this repository"),
    };
    Refusal::new(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, message)
}

async fn tell_pull(registry: &Arc<Registry>, pull: &Pull, reference: &Reference, digest: Digest) {
    let tag = match reference {
        Reference::Tag(tag) => Some(tag.clone()),
        Reference::Digest(_) => None,
    };
    let (repository, actor) = (pull.repository().clone(), pull.actor().to_owned());
    let told = registry.blocking(move |registry| {
        registry.tell(&repository, &actor, Instant::now(), &[Event::ManifestPulled { digest, tag }]);
        Ok(())
    });
    // A pull is answered even if nobody can be told.
    let _ = told.await;
}

/// What a PUT brings, checked as far as it can be without its bytes.
struct Upload {
    push: Push,
    reference: Reference,
    tags: Vec<Tag>,
    content_type: Option<String>,
}

/// `PUT`.
pub(crate) async fn put(mut call: Call) -> Result<Response<Body>> {
    let checked = check(&call);
    let upload = match checked {
        Ok(upload) => upload,
        Err(refusal) => {
            linger(&call.parts.headers, &mut call.body).await;
            return Err(refusal);
        }
    };
    let bytes = match receive(&mut call).await {
        Ok(bytes) => bytes,
        Err(refusal) => {
            linger(&call.parts.headers, &mut call.body).await;
            return Err(refusal);
        }
    };
    call.registry.blocking(move |registry| store(registry, &upload, &bytes)).await
}

fn check(call: &Call) -> Result<Upload> {
    let push = call.push()?;
    let reference = call.reference()?;
    let query = call.query()?;
    let mut tags = Vec::new();
    let limit = call.registry.config.server.limits.tag_params;
    for text in query.all("tag") {
        if tags.len() == limit {
            return Err(Refusal::new(
                StatusCode::URI_TOO_LONG,
                ErrorCode::Unsupported,
                format!("one request sets at most {limit} tags: send the others with another one"),
            ));
        }
        let tag: Tag = text.parse().map_err(|error: oci::ReferenceError| {
            Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid, error.to_string())
        })?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let content_type = call.header(CONTENT_TYPE)?.map(str::to_owned);
    Ok(Upload { push, reference, tags, content_type })
}

/// The whole body, or 413 as soon as it is clear that it is too large.
async fn receive(call: &mut Call) -> Result<Bytes> {
    let limit = call.registry.config.server.limits.manifest_bytes.get();
    if http_body::Body::size_hint(&call.body).lower() > limit {
        return Err(too_large(limit));
    }
    let registry = Arc::clone(&call.registry);
    let reading = read_within(&mut call.body, limit, &registry.manifest_room);
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| {
        let message = format!("a manifest has to arrive within {} seconds", PATIENCE.as_secs());
        Err(Refusal::plain(StatusCode::REQUEST_TIMEOUT, message))
    })
}

/// Reads a body while there is room. Room is taken for what has arrived, not for what was announced: whoever would fill it
/// has to send as much, and can hold it no longer than [`PATIENCE`].
async fn read_within(body: &mut Inbound, limit: u64, room: &Semaphore) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    let mut held: Option<SemaphorePermit<'_>> = None;
    while let Some(piece) = body.next().await? {
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&piece);
        let wanted = bytes.len().div_ceil(1024) - held.as_ref().map_or(0, SemaphorePermit::num_permits);
        let Ok(more) = room.try_acquire_many(u32::try_from(wanted).unwrap_or(u32::MAX)) else {
            return Err(Refusal::too_many("too many manifests arrive at once: come back soon", 1));
        };
        match &mut held {
            Some(held) => held.merge(more),
            None => held = Some(more),
        }
    }
    Ok(bytes.freeze())
}

fn too_large(limit: u64) -> Refusal {
    let message = format!("a manifest has at most {limit} bytes here");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid, message)
}

fn store(registry: &Registry, upload: &Upload, bytes: &Bytes) -> Result<Response<Body>> {
    let digest = verified(&upload.reference, bytes)?;
    let parsed = manifest::parse(bytes, upload.content_type.as_deref())?;
    let repository = upload.push.repository();
    let mut tags = upload.tags.clone();
    if let Reference::Tag(tag) = &upload.reference
        && !tags.contains(tag)
    {
        tags.insert(0, tag.clone());
    }
    let writes: Vec<_> =
        tags.iter().map(|tag| TagWrite { tag: tag.clone(), existing: registry.gate.tag(&upload.push, tag) }).collect();
    let now = Instant::now();
    let before = previous(registry, repository, &tags)?;
    let key = registry.objects.put(&digest, bytes)?;
    let blob = BlobRow { digest, size: bytes.len() as u64, key };
    let new = NewManifest {
        repository: repository.clone(),
        blob: blob.clone(),
        media_type: parsed.media_type.to_owned(),
        artifact_type: parsed.artifact_type.clone(),
        annotations: parsed.annotations.clone(),
        subject: parsed.subject,
        edges: parsed.edges.clone(),
        tags: writes,
        allow_sparse: registry.config.storage.sparse,
        quotas: registry.quotas(repository),
        actor: upload.push.actor().to_owned(),
        at: now,
    };
    let committed = registry.metadata.put_manifest(&new);
    // Its bytes are another's, or nobody's: the key that was made for them goes.
    if !matches!(committed, Ok(Committed::Stored)) {
        registry.objects.remove(&blob.key)?;
    }
    committed.map_err(|error| registry.refuse_write(repository, upload.push.actor(), error))?;
    tell_push(registry, upload, &digest, &parsed, bytes.len() as u64, &tags, before, now);
    created(repository, &digest, &parsed, &upload.tags)
}

/// The digest of the bytes: the one in the path if there is one, which must be right.
fn verified(reference: &Reference, bytes: &[u8]) -> Result<Digest> {
    let algorithm = match reference {
        Reference::Digest(digest) => digest.algorithm(),
        Reference::Tag(_) => Algorithm::Sha256,
    };
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    let digest = hasher.finish();
    match reference {
        Reference::Digest(expected) if *expected != digest => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::DigestInvalid,
            format!("the manifest has the digest {digest}, not {expected}"),
        )),
        _ => Ok(digest),
    }
}

impl From<manifest::Error> for Refusal {
    fn from(error: manifest::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid, error.to_string())
    }
}

/// What tags named before a write, where somebody wants to know; and whether the repository held any manifest.
type Before = Option<(Vec<Option<Digest>>, bool)>;

fn previous(registry: &Registry, repository: &RepositoryName, tags: &[Tag]) -> Result<Before> {
    let wanted = [Kind::TagCreated, Kind::TagMoved, Kind::RepositoryCreated];
    if !wanted.into_iter().any(|kind| registry.events.wants(kind)) {
        return Ok(None);
    }
    let mut digests = Vec::with_capacity(tags.len());
    for tag in tags {
        digests.push(registry.metadata.tag(repository, tag)?.map(|row| row.digest));
    }
    Ok(Some((digests, registry.metadata.repository(repository)?.is_some_and(|row| row.manifests > 0))))
}

#[expect(clippy::too_many_arguments, reason = "an event says all of it")]
fn tell_push(
    registry: &Registry,
    upload: &Upload,
    digest: &Digest,
    parsed: &Manifest,
    size: u64,
    tags: &[Tag],
    before: Before,
    at: Instant,
) {
    let mut events = Vec::new();
    let (previous, known) = before.unwrap_or((Vec::new(), true));
    if !known {
        events.push(Event::RepositoryCreated);
    }
    if registry.events.wants(Kind::ManifestPushed) {
        events.push(Event::ManifestPushed {
            digest: *digest,
            media_type: parsed.media_type.to_owned(),
            size,
            artifact_type: parsed.artifact_type.clone(),
            subject: parsed.subject,
            tags: tags.to_vec(),
        });
    }
    for (tag, previous) in tags.iter().zip(previous) {
        match previous {
            None => events.push(Event::TagCreated { tag: tag.clone(), digest: *digest }),
            Some(old) if old != *digest => {
                events.push(Event::TagMoved { tag: tag.clone(), digest: *digest, previous: Some(old) });
            }
            Some(_) => {}
        }
    }
    registry.tell(upload.push.repository(), upload.push.actor(), at, &events);
}

fn created(repository: &RepositoryName, digest: &Digest, parsed: &Manifest, tags: &[Tag]) -> Result<Response<Body>> {
    let value = |text: String| HeaderValue::try_from(text).map_err(Refusal::internal);
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(LOCATION, value(format!("/v2/{repository}/manifests/{digest}"))?);
    headers.insert(CONTENT_DIGEST, value(digest.to_string())?);
    if let Some(subject) = &parsed.subject {
        headers.insert(OCI_SUBJECT, value(subject.to_string())?);
    }
    for tag in tags {
        headers.append(OCI_TAG, value(tag.to_string())?);
    }
    Ok(response)
}

/// `DELETE`: a tag goes alone, a manifest with the tags that name it.
pub(crate) async fn delete(call: Call) -> Result<Response<Body>> {
    let delete = call.delete()?;
    if !call.registry.config.storage.delete {
        return Err(deletes_off());
    }
    let reference = call.reference()?;
    call.registry.blocking(move |registry| remove(registry, &delete, &reference)).await
}

/// 405: this registry deletes nothing over the wire.
pub(crate) fn deletes_off() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, "this registry does not allow deleting")
}

fn remove(registry: &Registry, delete: &Delete, reference: &Reference) -> Result<Response<Body>> {
    let (repository, actor, now) = (delete.repository(), delete.actor(), Instant::now());
    let (found, event) = match reference {
        Reference::Tag(tag) => {
            if registry.gate.immutable(repository, tag) {
                return Err(crate::metadata::Error::Immutable(tag.to_string()).into());
            }
            let previous = registry.metadata.tag(repository, tag)?.map(|row| row.digest);
            let found = registry.metadata.delete_tag(repository, tag, actor, now)?;
            (found, Event::TagDeleted { tag: tag.clone(), previous })
        }
        Reference::Digest(digest) => {
            let immutable = |tag: &Tag| registry.gate.immutable(repository, tag);
            let found = registry.metadata.delete_manifest(repository, digest, &immutable, actor, now)?;
            (found, Event::ManifestDeleted { digest: *digest })
        }
    };
    if !found {
        return Err(unknown(reference));
    }
    registry.tell(repository, actor, now, &[event]);
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
