//! The documents of an image: from the store, or from where they were seen.

use bytes::Bytes;
use oci::{Descriptor, Digest, Index, Manifest, Platform, Raw, media_type};
use remote::{Accept, Client, Repository};
use serde::Deserialize;
use store::{Blobs, Store};

use super::PushError;
use crate::attest::Became;

/// A manifest or configuration is kilobytes; past this it is something else.
pub(super) const MAX_DOCUMENT: u64 = 8 << 20;

/// A manifest or an index, with its exact bytes.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
    pub(super) media_type: String,
    pub(super) content: Content,
    /// Where it came from, if not from the store: its blobs are there, too.
    pub(super) from: Vec<Repository>,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are as many of it as an index has images")]
pub(super) enum Content {
    Image(Manifest),
    Index(Index),
}

/// What tells a manifest from an index.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// What an image is that became this.
    pub(super) fn became(&self) -> Became {
        let layers = match &self.content {
            Content::Image(manifest) => manifest.layers.clone(),
            Content::Index(_) => Vec::new(),
        };
        Became { digest: self.digest, layers }
    }

    /// Reads a document; `known` is the media type by which somebody called it.
    pub(super) fn parse(digest: Digest, bytes: Bytes, known: Option<&str>) -> Result<Self, PushError> {
        let failed = |source| PushError::Document { digest, source };
        let shape: Shape = Raw::parse(bytes.to_vec()).map_err(failed)?.into_value();
        let is_index = shape.manifests.is_some();
        let own = shape.media_type.as_deref().or(known);
        let media_type = own.unwrap_or(if is_index { media_type::OCI_INDEX } else { media_type::OCI_MANIFEST });
        let content = match is_index {
            true => Content::Index(Raw::<Index>::parse(bytes.to_vec()).map_err(failed)?.into_value()),
            false => Content::Image(Raw::<Manifest>::parse(bytes.to_vec()).map_err(failed)?.into_value()),
        };
        if is_index != media_type::is_index(media_type) {
            return Err(PushError::NotAnImage { digest, problem: "called something that it is not" });
        }
        Ok(Self { digest, media_type: media_type.to_owned(), bytes, content, from: Vec::new() })
    }

    /// The document as the store has it.
    pub(super) fn stored(store: &Store, digest: &Digest, known: Option<&str>) -> Result<Option<Self>, PushError> {
        match store.blobs().read_bytes(digest, MAX_DOCUMENT) {
            Ok(bytes) => Self::parse(*digest, Bytes::from(bytes), known).map(Some),
            Err(store::blobs::Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The document from one of these repositories, which are asked one after the other.
    pub(super) async fn fetched(places: Vec<Repository>, child: &Descriptor) -> Result<Self, PushError> {
        let mut last = None;
        for place in &places {
            match place.manifest_by_digest(&child.digest, &Accept::default()).await {
                Ok(found) => {
                    let document = Self::parse(child.digest, found.bytes, Some(&child.media_type))?;
                    return Ok(Self { from: places, ..document });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(PushError::Gone { what: "manifest", digest: child.digest, source: last })
    }

    /// Describes it.
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.bytes.len() as u64)
    }
}

/// The image of an index for a platform.
pub(super) fn choose<'i>(digest: &Digest, index: &'i Index, wanted: &Platform) -> Result<&'i Descriptor, PushError> {
    let offered: Vec<(&Descriptor, &Platform)> =
        index.manifests.iter().filter_map(|child| Some((child, child.platform.as_ref()?))).collect();
    match wanted.best_of(offered.iter().map(|(_, platform)| *platform)).and_then(|at| offered.get(at)) {
        Some((child, _)) => Ok(child),
        None => {
            let have: Vec<String> = offered.iter().map(|(_, platform)| platform.to_string()).collect();
            Err(PushError::NoPlatform { index: *digest, platform: wanted.to_string(), have: have.join(", ") })
        }
    }
}

/// The repositories in which a blob was seen, mirrors included, the one seen last first.
pub(super) fn places(store: &Store, client: &Client, digest: &Digest) -> Result<Vec<Repository>, PushError> {
    let mut found = Vec::new();
    for origin in store.index().origins(digest)? {
        let name = format!("{}/{}@{digest}", origin.registry, origin.repository);
        found.extend(ways(client, &name));
    }
    Ok(found)
}

/// Where what a document lists may be: where that was seen, where images that are it have their names from, and where
/// blobs of what else it lists were seen.
pub(super) fn places_of_parent(store: &Store, client: &Client, parent: &Digest) -> Result<Vec<Repository>, PushError> {
    let mut found = places(store, client, parent)?;
    for image in store.index().images()?.iter().filter(|image| image.manifest == *parent) {
        found.extend(ways(client, &image.name));
    }
    if found.is_empty() {
        for sibling in store.index().edges(parent)? {
            for blob in store.index().edges(&sibling)? {
                found.extend(places(store, client, &blob)?);
            }
        }
    }
    Ok(found)
}

/// The ways to what a name stands for. A registry that is blocked now is passed over.
fn ways(client: &Client, name: &str) -> Vec<Repository> {
    let route = name.parse::<oci::Reference>().ok().and_then(|reference| client.route(&reference).ok());
    route.map(|route| route.content().to_vec()).unwrap_or_default()
}
