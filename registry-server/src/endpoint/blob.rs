//! `GET`, `HEAD` and `DELETE` of a blob.
//! Specification: OCI distribution-spec, "Pulling blobs", "Deleting blobs"; RFC 9110 for ranges and conditions.
//!
//! What is asked for here is a blob that the repository links. A manifest of the same digest is not one: it is read through
//! its own endpoint, where its type is known.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use oci::{Digest, ErrorCode};

use super::upload::no_deletes;
use crate::body::{Body, WINDOW_PLAIN, WINDOW_TLS};
use crate::metadata::BlobRow;
use crate::range::{self, Wanted};
use crate::refusal::{Refusal, Result};
use crate::server::Call;
use crate::time::Instant;
use crate::webhook::{Event, Kind};

/// A blob never changes under its digest, so whoever has it need not ask again.
const CACHE: HeaderValue = HeaderValue::from_static("max-age=31536000, immutable");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");

/// Sends a blob, or a range of it.
pub(crate) async fn get(call: Call) -> Result<Response<Body>> {
    let (pull, digest) = (call.pull()?, call.digest()?);
    let repository = pull.repository().clone();
    let row = call
        .registry
        .blocking(move |registry| {
            let Some(row) = registry.metadata.blob(&repository, &digest)? else { return Ok(None) };
            // A client that is told that a blob is there will not push it: it has to stay.
            let there =
                registry.metadata.renew_blob(&repository, &digest, Instant::now(), registry.config.gc.renew())?;
            Ok(there.then_some(row))
        })
        .await?;
    let Some(row) = row else { return elsewhere(&call, &pull, &digest).await };
    let mut response = Response::new(Body::Empty);
    describe(&mut response, &row)?;
    if let Some(known) = call.header(header::IF_NONE_MATCH)?
        && names(known, &digest)
    {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let range = match call.header(header::IF_RANGE)? {
        Some(condition) if condition != tag(&digest) => None,
        _ => call.header(header::RANGE)?,
    };
    let slice = match range::wanted(range, row.size) {
        Wanted::Whole => 0..row.size,
        Wanted::Slice(slice) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {}-{}/{}", slice.start, slice.end - 1, row.size);
            response
                .headers_mut()
                .insert(header::CONTENT_RANGE, HeaderValue::try_from(text).map_err(Refusal::internal)?);
            slice
        }
        Wanted::Unsatisfiable => return Err(beyond(row.size)),
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(slice.end - slice.start));
    if call.is_head() || slice.is_empty() {
        return Ok(response);
    }
    let mapping = match call.registry.maps.get(&row.key) {
        Some(mapping) => mapping,
        None => call.registry.blocking(move |registry| Ok(registry.maps.open(&*registry.objects, &row)?)).await?,
    };
    let window = if call.peer.tls { WINDOW_TLS } else { WINDOW_PLAIN };
    *response.body_mut() = Body::mapped(mapping, slice, window);
    Ok(response)
}

/// Takes a blob out of a repository. Its bytes stay for other repositories, and until a collection.
pub(crate) async fn delete(call: Call) -> Result<Response<Body>> {
    let (proof, digest) = (call.delete()?, call.digest()?);
    if !call.registry.config.storage.delete {
        return Err(no_deletes());
    }
    let gone = call
        .registry
        .blocking(move |registry| {
            let (repository, at) = (proof.repository(), Instant::now());
            let gone = registry.metadata.unlink_blob(repository, &digest)?;
            if gone && registry.events.wants(Kind::BlobDeleted) {
                registry.tell(repository, proof.actor(), at, &[Event::BlobDeleted { digest }]);
            }
            Ok(gone)
        })
        .await?;
    if !gone {
        return Err(unknown(&digest));
    }
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    Ok(response)
}

/// A blob that is not here: perhaps an upstream has it.
async fn elsewhere(call: &Call, pull: &crate::auth::Pull, digest: &Digest) -> Result<Response<Body>> {
    let Some(mirror) = &call.registry.mirror else { return Err(unknown(digest)) };
    let range = call.parts.headers.get(header::RANGE);
    let Some(answer) = mirror.blob(pull, digest, &call.parts.method, range).await? else { return Err(unknown(digest)) };
    let mut response = Response::new(answer.body.map_or(Body::Empty, Body::Stream));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

/// The headers of every answer that is about a blob.
fn describe(response: &mut Response<Body>, row: &BlobRow) -> Result<()> {
    let headers: &mut HeaderMap = response.headers_mut();
    let digest = HeaderValue::try_from(row.digest.to_string()).map_err(Refusal::internal)?;
    headers.insert("docker-content-digest", digest);
    headers.insert(header::ETAG, HeaderValue::try_from(tag(&row.digest)).map_err(Refusal::internal)?);
    headers.insert(header::CONTENT_TYPE, OCTETS);
    headers.insert(header::ACCEPT_RANGES, BYTES);
    headers.insert(header::CACHE_CONTROL, CACHE);
    Ok(())
}

fn tag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether an `If-None-Match` names a digest: a list of entity tags, weak ones included, or `*`.
fn names(header: &str, digest: &Digest) -> bool {
    let tag = tag(digest);
    header.split(',').map(str::trim).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

fn beyond(size: u64) -> Refusal {
    let message = format!("the blob has {size} bytes, and the range has none of them");
    let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::SizeInvalid, message);
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(value) => refusal.with(header::CONTENT_RANGE, value),
        Err(_) => refusal,
    }
}

fn unknown(digest: &Digest) -> Refusal {
    let message = format!("this repository holds no blob {digest}");
    let refusal = Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BlobUnknown, message);
    refusal.detail(serde_json::json!({ "digest": digest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let digest = Digest::sha256(b"");
        let tag = tag(&digest);
        for (header, expected) in [
            (tag.clone(), true),
            (format!("W/{tag}"), true),
            (format!("\"x\", {tag}"), true),
            ("*".to_owned(), true),
            ("\"x\"".to_owned(), false),
            (digest.to_string(), false),
            (String::new(), false),
        ] {
            assert_eq!(names(&header, &digest), expected, "{header}");
        }
    }
}
