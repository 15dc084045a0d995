//! The way back: a tag names again what it named before.
//!
//! The form says which entry of the history it was made from: whoever is slower than somebody else's push is told so and
//! overwrites nothing.

use http::{Response, StatusCode, header};
use oci::{Digest, ErrorCode, RepositoryName, Tag};

use super::answer::{authority, external, see};
use super::origin;
use super::place::Place;
use super::query::{FORM_LIMIT, Fields};
use crate::Registry;
use crate::auth::Push;
use crate::body::Body;
use crate::metadata::TagWrite;
use crate::refusal::{Refusal, Result};
use crate::server::Call;
use crate::time::Instant;
use crate::webhook::Event;

/// What the form says.
#[derive(Debug, PartialEq, Eq)]
struct Form {
    /// What the tag shall name.
    digest: Digest,
    /// The newest entry that the reader saw.
    seen: i64,
}

/// Moves a tag back, and shows it.
///
/// # Errors
/// 403 for a form that another site sent or a right that is absent, 400 for one that makes no sense, 404 where the
/// manifest is gone, 409 where the tag moved meanwhile.
pub(super) async fn undo(call: &mut Call, repository: RepositoryName, tag: Tag) -> Result<Response<Body>> {
    if !origin::is_ours(&call.parts.headers, authority(call), external(call).as_ref()) {
        let message = "This form was not sent by a page of this registry.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message));
    }
    let push = call.registry.gate.push(&call.principal, &repository)?;
    let form = read(call).await?;
    let place = Place::Tag(repository, tag.clone());
    let sequence = call.registry.blocking(move |registry| restore(registry, &push, &tag, &form)).await?;
    Ok(see(&format!("{place}?moved={sequence}")))
}

async fn read(call: &mut Call) -> Result<Form> {
    let content_type = call.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Err(senseless());
    }
    let mut bytes = Vec::new();
    while let Some(piece) = call.body.next().await? {
        if bytes.len() + piece.len() > FORM_LIMIT {
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid, "This form is too long."));
        }
        bytes.extend_from_slice(&piece);
    }
    parse(&bytes).ok_or_else(senseless)
}

fn parse(bytes: &[u8]) -> Option<Form> {
    let fields = Fields::new(bytes);
    Some(Form { digest: fields.get("digest")?.parse().ok()?, seen: fields.get("seen")?.parse().ok()? })
}

fn senseless() -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, "This form lacks a field, or holds what is none.")
}

/// Moves the tag, and gives the entry that this made.
fn restore(registry: &Registry, push: &Push, tag: &Tag, form: &Form) -> Result<i64> {
    let (metadata, repository, now) = (&registry.metadata, push.repository(), Instant::now());
    let newest = metadata.history(repository, tag, 1)?.into_iter().next();
    let Some(newest) = newest.filter(|row| row.sequence == form.seen) else {
        let message = "Somebody else moved this tag meanwhile. Look at its history again.";
        return Err(Refusal::new(StatusCode::CONFLICT, ErrorCode::Denied, message));
    };
    let write = TagWrite { tag: tag.clone(), existing: registry.gate.tag(push, tag) };
    if !metadata.set_tag(repository, &write, &form.digest, push.actor(), now)? {
        let message = "What the tag named then is gone: it was collected or deleted.";
        return Err(Refusal::new(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, message));
    }
    let event = match newest.digest {
        None => Event::TagCreated { tag: tag.clone(), digest: form.digest },
        previous => Event::TagMoved { tag: tag.clone(), digest: form.digest, previous },
    };
    registry.tell(repository, push.actor(), now, &[event]);
    Ok(metadata.history(repository, tag, 1)?.first().map_or(0, |row| row.sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_both_fields() {
        let digest = Digest::sha256(b"x");
        assert_eq!(parse(format!("digest={digest}&seen=7").as_bytes()), Some(Form { digest, seen: 7 }));
        for bad in ["", "seen=7", "digest=latest&seen=7", &format!("digest={digest}&seen=x"), "\u{0}"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
