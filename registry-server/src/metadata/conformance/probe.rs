//! Short words for the cases: everything is named by texts, and times are small numbers.

use oci::{Digest, RepositoryName, Tag};

use super::super::{
    BlobRow, Collected, Committed, Cutoff, Edge, EdgeKind, Existing, Metadata, NewManifest, Page, Quota, Result,
    TagWrite,
};
use crate::storage::ObjectKey;
use crate::time::Instant;

/// A backend that is tried.
#[derive(Clone, Copy)]
pub struct Probe<'m>(pub &'m dyn Metadata);

impl std::fmt::Debug for Probe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

/// A manifest in the making: `Image::new("repository", "its bytes").layers(&["blob"]).tags(&["v1"])`.
#[derive(Debug, Clone)]
pub struct Image(pub NewManifest);

/// The digest of a text.
pub(super) fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

/// The row of a text's bytes, under the key that the first commit of them would get.
pub(super) fn blob(text: &str) -> BlobRow {
    BlobRow { digest: digest(text), size: text.len() as u64, key: ObjectKey(format!("first/{text}")) }
}

pub(super) fn name(text: &str) -> RepositoryName {
    text.parse().expect("a repository's name")
}

pub(super) fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

pub(super) fn quota(prefix: &str, limit: u64) -> Quota {
    Quota { prefix: prefix.to_owned(), limit }
}

/// Everything.
pub(super) const ALL: Page<'static> = Page { after: None, limit: 1_000_000 };

impl Image {
    /// A manifest without anything, pushed by `user:ann` at time 1.
    pub fn new(repository: &str, text: &str) -> Self {
        Self(NewManifest {
            repository: name(repository),
            blob: blob(text),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            artifact_type: None,
            annotations: None,
            subject: None,
            edges: Vec::new(),
            tags: Vec::new(),
            allow_sparse: false,
            quotas: Vec::new(),
            actor: "user:ann".to_owned(),
            at: Instant(1),
        })
    }

    fn edges(mut self, kind: EdgeKind, texts: &[&str]) -> Self {
        let edge =
            |text: &&str| Edge { kind, digest: digest(text), size: text.len() as u64, optional: text.starts_with('?') };
        self.0.edges.extend(texts.iter().map(edge));
        self
    }

    /// References blobs; those whose text begins with `?` may be absent.
    #[must_use]
    pub fn layers(self, texts: &[&str]) -> Self {
        self.edges(EdgeKind::Layer, texts)
    }

    /// Lists manifests.
    #[must_use]
    pub fn lists(self, texts: &[&str]) -> Self {
        self.edges(EdgeKind::Manifest, texts)
    }

    /// Moves tags.
    #[must_use]
    pub fn tags(self, tags: &[&str]) -> Self {
        self.tags_if(tags, Existing::Move)
    }

    /// Writes tags, under a condition.
    #[must_use]
    pub fn tags_if(mut self, tags: &[&str], existing: Existing) -> Self {
        self.0.tags.extend(tags.iter().map(|text| TagWrite { tag: tag(text), existing }));
        self
    }

    /// Refers to a subject.
    #[must_use]
    pub fn subject(mut self, text: &str) -> Self {
        self.0.subject = Some(digest(text));
        self
    }

    /// Is of an artifact type.
    #[must_use]
    pub fn kind(mut self, artifact_type: &str) -> Self {
        self.0.artifact_type = Some(artifact_type.to_owned());
        self
    }

    /// May reference what is absent.
    #[must_use]
    pub fn sparse(mut self) -> Self {
        self.0.allow_sparse = true;
        self
    }

    /// Is pushed at a time.
    #[must_use]
    pub fn at(mut self, at: i64) -> Self {
        self.0.at = Instant(at);
        self
    }

    /// Has to keep quotas.
    #[must_use]
    pub fn within(mut self, quotas: &[Quota]) -> Self {
        self.0.quotas = quotas.to_vec();
        self
    }
}

/// The value of an operation that has to work.
pub(super) fn ok<T>(result: Result<T>) -> T {
    result.expect("the backend works")
}

impl Probe<'_> {
    pub(super) fn link(self, repository: &str, text: &str, at: i64) -> Committed {
        ok(self.0.link_blob(&name(repository), &blob(text), &[], Instant(at)))
    }

    pub(super) fn put(self, image: Image) -> Committed {
        ok(self.0.put_manifest(&image.0))
    }

    pub(super) fn has_blob(self, repository: &str, text: &str) -> bool {
        ok(self.0.blob(&name(repository), &digest(text))).is_some()
    }

    pub(super) fn has_manifest(self, repository: &str, text: &str) -> bool {
        ok(self.0.manifest(&name(repository), &digest(text))).is_some()
    }

    pub(super) fn delete_manifest(self, repository: &str, text: &str, at: i64) -> bool {
        ok(self.0.delete_manifest(&name(repository), &digest(text), &|_| false, "user:bob", Instant(at)))
    }

    pub(super) fn delete_tag(self, repository: &str, text: &str, at: i64) -> bool {
        ok(self.0.delete_tag(&name(repository), &tag(text), "user:bob", Instant(at)))
    }

    /// What a tag names; `None` where there is none.
    pub(super) fn tagged(self, repository: &str, text: &str) -> Option<Digest> {
        ok(self.0.tag(&name(repository), &tag(text))).map(|row| row.digest)
    }

    /// Bytes of a repository; `None` where there is none.
    pub(super) fn bytes(self, repository: &str) -> Option<u64> {
        ok(self.0.repository(&name(repository))).map(|row| row.bytes)
    }

    /// Collects what was last touched up to `before`, step by step; checks that a dry run said so.
    pub(super) fn collect(self, before: i64) -> Collected {
        self.collect_by(&Cutoff { blobs: Instant(before), manifests: Some(Instant(before)), limit: 3 })
    }

    /// Collects beside others, who may change what a dry run would have told.
    pub(super) fn collect_leniently(self, before: i64) {
        let cutoff = Cutoff { blobs: Instant(before), manifests: Some(Instant(before)), limit: 3 };
        ok(self.0.collect(&cutoff, false));
    }

    pub(super) fn collect_by(self, cutoff: &Cutoff) -> Collected {
        let foretold = sorted(ok(self.0.collect(cutoff, true)));
        let mut all = Collected::default();
        loop {
            let step = ok(self.0.collect(cutoff, false));
            let taken = step.manifests.len() + step.links.len() + step.objects.len();
            assert!(taken <= cutoff.limit, "a step is bounded");
            all.manifests.extend(step.manifests);
            all.links.extend(step.links);
            all.objects.extend(step.objects);
            if taken == 0 {
                break;
            }
        }
        let all = sorted(all);
        assert_eq!(foretold, all, "a dry run tells what a collection takes");
        all
    }
}

fn sorted(mut collected: Collected) -> Collected {
    collected.manifests.sort();
    collected.links.sort();
    collected.objects.sort_by_key(|object| object.digest);
    collected
}
