//! The operations, over a small world: a few repositories, blobs and tags, and manifests of every shape.

use std::time::Duration;

use oci::{Digest, RepositoryName, Tag};
use proptest::prelude::*;

use super::super::{
    BlobRow, Committed, Cutoff, Edge, EdgeKind, Error, Existing, Metadata, NewManifest, Quota, Result, TagWrite,
};
use crate::storage::ObjectKey;
use crate::time::Instant;

pub(super) const REPOSITORIES: [&str; 3] = ["a", "a/b", "c"];
pub(super) const TAGS: [&str; 3] = ["latest", "v1", "keep"];
pub(super) const BLOBS: usize = 4;

/// A manifest of the world: what it references, by numbers of blobs and manifests.
pub(super) struct Shape {
    pub(super) blobs: &'static [usize],
    pub(super) optional: &'static [usize],
    pub(super) manifests: &'static [usize],
    pub(super) subject: Option<usize>,
}

pub(super) const SHAPES: [Shape; 7] = [
    Shape { blobs: &[0, 1, 1], optional: &[], manifests: &[], subject: None },
    Shape { blobs: &[1], optional: &[2], manifests: &[], subject: None },
    Shape { blobs: &[], optional: &[], manifests: &[0, 1], subject: None },
    Shape { blobs: &[3], optional: &[], manifests: &[], subject: Some(0) },
    Shape { blobs: &[], optional: &[], manifests: &[], subject: Some(2) },
    Shape { blobs: &[], optional: &[], manifests: &[2, 3], subject: None },
    Shape { blobs: &[], optional: &[], manifests: &[], subject: Some(3) },
];

/// One operation, all by numbers. Times are handed in when it is done.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Link { repository: usize, blob: usize, key: u8 },
    Mount { repository: usize, blob: usize, from: usize },
    Touch { repository: usize, blob: usize },
    Renew { repository: usize, blob: usize },
    Unlink { repository: usize, blob: usize },
    Put { repository: usize, manifest: usize, tags: Vec<usize>, existing: Existing, sparse: bool, key: u8, other: bool },
    TouchManifest { repository: usize, manifest: usize },
    DeleteManifest { repository: usize, manifest: usize, keep: bool },
    SetTag { repository: usize, tag: usize, manifest: usize, existing: Existing },
    DeleteTag { repository: usize, tag: usize },
    Collect { blobs: i64, manifests: Option<i64> },
}

/// What an operation gave, as far as a model can tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Bool(bool),
    Stored,
    Existed(ObjectKey),
    Absent(Vec<Digest>),
    Immutable,
    Denied,
    Quota(u64),
    Collected(Vec<(RepositoryName, Digest)>, Vec<(RepositoryName, Digest)>, Vec<ObjectKey>),
}

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    let repository = 0..REPOSITORIES.len();
    let blob = 0..BLOBS;
    let manifest = 0..SHAPES.len();
    let tag = 0..TAGS.len();
    let existing = prop_oneof![3 => Just(Existing::Move), 1 => Just(Existing::Deny), 1 => Just(Existing::Immutable)];
    let place = (repository.clone(), blob.clone());
    let named = (repository.clone(), manifest.clone());
    let tags = proptest::collection::vec(tag.clone(), 0..3);
    let put = (named.clone(), tags, existing.clone(), any::<bool>(), 0..3_u8, proptest::bool::weighted(0.1));
    prop_oneof![
        6 => (place.clone(), 0..3_u8).prop_map(|((repository, blob), key)| Operation::Link { repository, blob, key }),
        2 => (place.clone(), repository.clone())
            .prop_map(|((repository, blob), from)| Operation::Mount { repository, blob, from }),
        1 => place.clone().prop_map(|(repository, blob)| Operation::Touch { repository, blob }),
        1 => place.clone().prop_map(|(repository, blob)| Operation::Renew { repository, blob }),
        1 => place.prop_map(|(repository, blob)| Operation::Unlink { repository, blob }),
        8 => put.prop_map(|((repository, manifest), tags, existing, sparse, key, other)| {
            Operation::Put { repository, manifest, tags, existing, sparse, key, other }
        }),
        1 => named.clone().prop_map(|(repository, manifest)| Operation::TouchManifest { repository, manifest }),
        2 => (named.clone(), any::<bool>())
            .prop_map(|((repository, manifest), keep)| Operation::DeleteManifest { repository, manifest, keep }),
        2 => (named, tag.clone(), existing).prop_map(|((repository, manifest), tag, existing)| {
            Operation::SetTag { repository, tag, manifest, existing }
        }),
        2 => (repository, tag).prop_map(|(repository, tag)| Operation::DeleteTag { repository, tag }),
        3 => (0..12_i64, proptest::option::weighted(0.8, 0..12_i64))
            .prop_map(|(blobs, manifests)| Operation::Collect { blobs, manifests }),
    ]
}

pub(super) fn repository(number: usize) -> RepositoryName {
    REPOSITORIES[number].parse().unwrap()
}

pub(super) fn tag(number: usize) -> Tag {
    TAGS[number].parse().unwrap()
}

/// Blobs are longer the higher their number.
pub(super) fn blob(number: usize) -> BlobRow {
    row(&"b".repeat(number + 1))
}

pub(super) fn manifest(number: usize) -> BlobRow {
    row(&"m".repeat(number + 10))
}

fn row(text: &str) -> BlobRow {
    BlobRow { digest: Digest::sha256(text.as_bytes()), size: text.len() as u64, key: ObjectKey(text.to_owned()) }
}

pub(super) fn keyed(row: BlobRow, key: u8) -> BlobRow {
    BlobRow { key: ObjectKey(format!("{}.{key}", row.key.0)), ..row }
}

pub(super) fn edges(shape: &Shape) -> Vec<Edge> {
    let edge = |kind, row: BlobRow, optional| Edge { kind, digest: row.digest, size: row.size, optional };
    let layers = shape.blobs.iter().map(|number| edge(EdgeKind::Layer, blob(*number), false));
    let optional = shape.optional.iter().map(|number| edge(EdgeKind::Layer, blob(*number), true));
    let listed = shape.manifests.iter().map(|number| edge(EdgeKind::Manifest, manifest(*number), false));
    layers.chain(optional).chain(listed).collect()
}

/// The media type: another for the same bytes now and then, under which nothing is referenced.
pub(super) fn media_type(other: bool) -> &'static str {
    if other { "example/opaque" } else { "example/manifest" }
}

/// What is left alone by a deletion with `keep`.
pub(super) fn is_kept(tag: &Tag) -> bool {
    tag.as_str() == "keep"
}

/// How old a lease may be before it is renewed.
pub(super) const RENEW: i64 = 3;

impl Operation {
    /// Does it to a backend, at a time.
    pub(super) fn run(&self, metadata: &dyn Metadata, quotas: &[Quota], at: i64) -> Outcome {
        let now = Instant(at);
        match self {
            Self::Link { repository: at, blob: number, key } => {
                committed(metadata.link_blob(&repository(*at), &keyed(blob(*number), *key), quotas, now))
            }
            Self::Mount { repository: at, blob: number, from } => {
                let digest = blob(*number).digest;
                told(metadata.mount_blob(&repository(*at), &digest, &repository(*from), quotas, now))
            }
            Self::Touch { repository: at, blob: number } => {
                told(metadata.touch_blob(&repository(*at), &blob(*number).digest, now))
            }
            Self::Renew { repository: at, blob: number } => {
                let every = Duration::from_millis(RENEW.unsigned_abs());
                told(metadata.renew_blob(&repository(*at), &blob(*number).digest, now, every))
            }
            Self::Unlink { repository: at, blob: number } => {
                told(metadata.unlink_blob(&repository(*at), &blob(*number).digest))
            }
            Self::Put { .. } => committed(metadata.put_manifest(&self.new_manifest(quotas, now))),
            Self::TouchManifest { repository: at, manifest: number } => {
                told(metadata.touch_manifest(&repository(*at), &manifest(*number).digest, now))
            }
            Self::DeleteManifest { repository: at, manifest: number, keep } => {
                let immutable = |tag: &Tag| *keep && is_kept(tag);
                told(metadata.delete_manifest(&repository(*at), &manifest(*number).digest, &immutable, "x", now))
            }
            Self::SetTag { repository: at, tag: name, manifest: number, existing } => {
                let write = TagWrite { tag: tag(*name), existing: *existing };
                told(metadata.set_tag(&repository(*at), &write, &manifest(*number).digest, "x", now))
            }
            Self::DeleteTag { repository: at, tag: name } => {
                told(metadata.delete_tag(&repository(*at), &tag(*name), "x", now))
            }
            Self::Collect { .. } => self.collect(metadata, at),
        }
    }

    fn new_manifest(&self, quotas: &[Quota], at: Instant) -> NewManifest {
        let Self::Put { repository: place, manifest: number, tags, existing, sparse, key, other } = self else {
            unreachable!("only puts have one")
        };
        let shape = &SHAPES[*number];
        NewManifest {
            repository: repository(*place),
            blob: keyed(manifest(*number), *key),
            media_type: media_type(*other).to_owned(),
            artifact_type: None,
            annotations: None,
            subject: shape.subject.filter(|_| !other).map(|subject| manifest(subject).digest),
            edges: if *other { Vec::new() } else { edges(shape) },
            tags: tags.iter().map(|name| TagWrite { tag: tag(*name), existing: *existing }).collect(),
            allow_sparse: *sparse,
            quotas: quotas.to_vec(),
            actor: "x".to_owned(),
            at,
        }
    }

    /// The cutoff of a collection.
    pub(super) fn cutoff(&self, at: i64) -> Cutoff {
        let Self::Collect { blobs, manifests } = self else { unreachable!("only collections have one") };
        Cutoff { blobs: Instant(at - blobs), manifests: manifests.map(|age| Instant(at - age)), limit: 2 }
    }

    fn collect(&self, metadata: &dyn Metadata, at: i64) -> Outcome {
        let cutoff = self.cutoff(at);
        let foretold = metadata.collect(&cutoff, true).unwrap();
        let (mut manifests, mut links, mut objects) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let step = metadata.collect(&cutoff, false).unwrap();
            if step.manifests.is_empty() && step.links.is_empty() && step.objects.is_empty() {
                break;
            }
            manifests.extend(step.manifests);
            links.extend(step.links);
            objects.extend(step.objects.into_iter().map(|row| row.key));
        }
        let told = foretold.objects.into_iter().map(|row| row.key).collect();
        let collected = collected(manifests, links, objects);
        assert_eq!(self::collected(foretold.manifests, foretold.links, told), collected, "the dry run");
        collected
    }
}

pub(super) fn collected(
    mut manifests: Vec<(RepositoryName, Digest)>,
    mut links: Vec<(RepositoryName, Digest)>,
    mut objects: Vec<ObjectKey>,
) -> Outcome {
    manifests.sort();
    links.sort();
    objects.sort();
    Outcome::Collected(manifests, links, objects)
}

fn told(result: Result<bool>) -> Outcome {
    result.map_or_else(refused, Outcome::Bool)
}

fn committed(result: Result<Committed>) -> Outcome {
    result.map_or_else(refused, |committed| match committed {
        Committed::Stored => Outcome::Stored,
        Committed::Existed(key) => Outcome::Existed(key),
    })
}

fn refused(error: Error) -> Outcome {
    match error {
        Error::Absent(digests) => Outcome::Absent(digests),
        Error::Immutable(_) => Outcome::Immutable,
        Error::UpdateDenied(_) => Outcome::Denied,
        Error::Quota { used, .. } => Outcome::Quota(used),
        error => panic!("{error}"),
    }
}
