//! What happened, as events say it. Specification: CloudEvents 1.0, JSON event format.

use oci::{Digest, RepositoryName, Tag};
use serde_json::{Map, Value, json};

use crate::time::Instant;

/// What happened in one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A manifest was stored.
    ManifestPushed {
        /// Its digest.
        digest: Digest,
        /// Its content type.
        media_type: String,
        /// Its size in bytes.
        size: u64,
        /// Its artifact type, where it has one.
        artifact_type: Option<String>,
        /// What it refers to, where it does.
        subject: Option<Digest>,
        /// The tags it was given.
        tags: Vec<Tag>,
    },
    /// A manifest was read.
    ManifestPulled {
        /// Its digest.
        digest: Digest,
        /// The tag it was asked by, unless by digest.
        tag: Option<Tag>,
    },
    /// A manifest was deleted.
    ManifestDeleted {
        /// Its digest.
        digest: Digest,
    },
    /// A tag is new.
    TagCreated {
        /// The tag.
        tag: Tag,
        /// What it names.
        digest: Digest,
    },
    /// A tag names something else now.
    TagMoved {
        /// The tag.
        tag: Tag,
        /// What it names.
        digest: Digest,
        /// What it named.
        previous: Option<Digest>,
    },
    /// A tag was deleted.
    TagDeleted {
        /// The tag.
        tag: Tag,
        /// What it named.
        previous: Option<Digest>,
    },
    /// A blob was uploaded.
    BlobPushed {
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// A blob of another repository was mounted.
    BlobMounted {
        /// Its digest.
        digest: Digest,
        /// Where it was.
        from: RepositoryName,
    },
    /// A blob was deleted.
    BlobDeleted {
        /// Its digest.
        digest: Digest,
    },
    /// The repository got its first manifest.
    RepositoryCreated,
    /// A write was refused, as its prefix may hold no more.
    QuotaExceeded {
        /// The prefix.
        prefix: String,
        /// Bytes that it may hold.
        limit: u64,
        /// Bytes that it holds.
        used: u64,
    },
}

/// The kinds of events, as filters name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it; `Event` says more")]
pub enum Kind {
    ManifestPushed,
    ManifestPulled,
    ManifestDeleted,
    TagCreated,
    TagMoved,
    TagDeleted,
    BlobPushed,
    BlobMounted,
    BlobDeleted,
    RepositoryCreated,
    QuotaExceeded,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::ManifestPushed,
        Self::ManifestPulled,
        Self::ManifestDeleted,
        Self::TagCreated,
        Self::TagMoved,
        Self::TagDeleted,
        Self::BlobPushed,
        Self::BlobMounted,
        Self::BlobDeleted,
        Self::RepositoryCreated,
        Self::QuotaExceeded,
    ];

    /// `manifest.pushed`: what filters match, and the end of the event's type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ManifestPushed => "manifest.pushed",
            Self::ManifestPulled => "manifest.pulled",
            Self::ManifestDeleted => "manifest.deleted",
            Self::TagCreated => "tag.created",
            Self::TagMoved => "tag.moved",
            Self::TagDeleted => "tag.deleted",
            Self::BlobPushed => "blob.pushed",
            Self::BlobMounted => "blob.mounted",
            Self::BlobDeleted => "blob.deleted",
            Self::RepositoryCreated => "repository.created",
            Self::QuotaExceeded => "quota.exceeded",
        }
    }
}

impl Event {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::ManifestPushed { .. } => Kind::ManifestPushed,
            Self::ManifestPulled { .. } => Kind::ManifestPulled,
            Self::ManifestDeleted { .. } => Kind::ManifestDeleted,
            Self::TagCreated { .. } => Kind::TagCreated,
            Self::TagMoved { .. } => Kind::TagMoved,
            Self::TagDeleted { .. } => Kind::TagDeleted,
            Self::BlobPushed { .. } => Kind::BlobPushed,
            Self::BlobMounted { .. } => Kind::BlobMounted,
            Self::BlobDeleted { .. } => Kind::BlobDeleted,
            Self::RepositoryCreated => Kind::RepositoryCreated,
            Self::QuotaExceeded { .. } => Kind::QuotaExceeded,
        }
    }

    fn data(&self) -> Value {
        match self {
            Self::ManifestPushed { digest, media_type, size, artifact_type, subject, tags } => json!({
                "digest": digest.to_string(),
                "mediaType": media_type,
                "size": size,
                "artifactType": artifact_type,
                "subject": subject.as_ref().map(ToString::to_string),
                "tags": tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }),
            Self::ManifestPulled { digest, tag } => {
                json!({ "digest": digest.to_string(), "tag": tag.as_ref().map(ToString::to_string) })
            }
            Self::ManifestDeleted { digest } | Self::BlobDeleted { digest } => json!({ "digest": digest.to_string() }),
            Self::TagCreated { tag, digest } => json!({ "tag": tag.to_string(), "digest": digest.to_string() }),
            Self::TagMoved { tag, digest, previous } => json!({
                "tag": tag.to_string(),
                "digest": digest.to_string(),
                "previous": previous.as_ref().map(ToString::to_string),
            }),
            Self::TagDeleted { tag, previous } => {
                json!({ "tag": tag.to_string(), "previous": previous.as_ref().map(ToString::to_string) })
            }
            Self::BlobPushed { digest, size } => json!({ "digest": digest.to_string(), "size": size }),
            Self::BlobMounted { digest, from } => json!({ "digest": digest.to_string(), "from": from.to_string() }),
            Self::RepositoryCreated => json!({}),
            Self::QuotaExceeded { prefix, limit, used } => json!({ "prefix": prefix, "limit": limit, "used": used }),
        }
    }
}

/// An event as it is sent: structured mode, the whole of it one JSON object.
///
/// `subject` is `repository`, `repository:tag` or `repository@digest`. Absent values are left out, as the format asks.
pub(super) fn cloud_event(
    id: &str,
    source: &str,
    repository: &RepositoryName,
    actor: &str,
    at: Instant,
    event: &Event,
) -> Value {
    let mut data = Map::new();
    data.insert("repository".to_owned(), Value::from(repository.to_string()));
    data.insert("actor".to_owned(), Value::from(actor));
    if let Value::Object(own) = event.data() {
        data.extend(own.into_iter().filter(|(_, value)| !value.is_null()));
    }
    let part = |name: &str| data.get(name).and_then(Value::as_str);
    let subject = match (part("tag"), part("digest")) {
        (Some(tag), _) => format!("{repository}:{tag}"),
        (None, Some(digest)) => format!("{repository}@{digest}"),
        (None, None) => repository.to_string(),
    };
    json!({
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": format!("dev.estiba.registry.{}", event.kind().as_str()),
        "subject": subject,
        "time": timestamp(at),
        "datacontenttype": "application/json",
        "data": data,
    })
}

fn timestamp(at: Instant) -> String {
    jiff::Timestamp::from_millisecond(at.0).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_format_asks() {
        let digest: Digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse().unwrap();
        let repository: RepositoryName = "team/app".parse().unwrap();
        let event = Event::TagMoved { tag: "v1".parse().unwrap(), digest, previous: None };
        let sent = cloud_event("1", "https://r.example", &repository, "user:ann", Instant(1_700_000_000_123), &event);
        let expected = json!({
            "specversion": "1.0",
            "id": "1",
            "source": "https://r.example",
            "type": "dev.estiba.registry.tag.moved",
            "subject": "team/app:v1",
            "time": "2023-11-14T22:13:20.123Z",
            "datacontenttype": "application/json",
            "data": {"repository": "team/app", "actor": "user:ann", "tag": "v1", "digest": digest.to_string()},
        });
        assert_eq!(sent, expected);
    }

    #[test]
    fn kinds_are_numbered_in_order() {
        for (number, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, number);
        }
    }
}
