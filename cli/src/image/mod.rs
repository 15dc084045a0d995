//! Images of the store: found by name, id or digest, and read.
//!
//! An image may be there in part: the documents of one platform of an index, layers that nobody needed yet. What reads
//! images says which part is missing instead of failing.

mod find;

use std::collections::BTreeMap;

use oci::{Digest, ImageConfig, Index, Manifest, Platform, Raw, Reference};
use store::{Blobs as _, ImageRow, Store, blobs};

pub(crate) use find::{Meant, Sought, by_platform, find, missing, missing_without_store, platforms, seek};

use crate::error::{Error, Result, While};

/// The largest manifest or configuration that is read: registries refuse more than 4 MiB.
const MAX_DOCUMENT: u64 = 8 << 20;

/// An image for one platform.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Its manifest.
    pub(crate) manifest: Raw<Manifest>,
    /// Its configuration, whose digest is the image's id.
    pub(crate) config: Raw<ImageConfig>,
}

/// An image and every name that points at it.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// The image.
    pub(crate) image: Image,
    /// The rows, sorted by name.
    pub(crate) rows: Vec<ImageRow>,
}

/// The row name of an image that was built without a tag: it keeps the image until `prune`.
pub(crate) fn anonymous_name(id: &Digest) -> String {
    id.to_string()
}

/// Whether a row stands for an image without a name.
pub(crate) fn is_anonymous(name: &str) -> bool {
    name.parse::<Digest>().is_ok()
}

/// A row's name as users write it; `None` for an image without a name.
pub(crate) fn familiar(name: &str) -> Option<Reference> {
    if is_anonymous(name) { None } else { name.parse().ok() }
}

impl Image {
    /// The image's id.
    pub(crate) fn id(&self) -> Digest {
        self.config.digest()
    }

    /// The sum of its layers' sizes, unpacked where that is known.
    pub(crate) fn size(&self, store: &Store) -> Result<u64> {
        let diff_ids = &self.config.value().rootfs.diff_ids;
        let mut total = 0u64;
        for (at, diff_id) in diff_ids.iter().enumerate() {
            let layer = match store.index().layer_by_diff_id(diff_id)? {
                Some(id) => store.index().layer(&id)?,
                None => None,
            };
            let known = layer.map(|layer| layer.size).filter(|&size| size > 0);
            let stored = self.manifest.value().layers.get(at).map_or(0, |layer| layer.size);
            total = total.saturating_add(known.unwrap_or(stored));
        }
        Ok(total)
    }
}

/// Why an image could not be read.
enum Unread {
    /// Its documents, or those for the platform, are not in the store.
    Absent(Error),
    /// They are damaged, or the store is.
    Failed(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Unread> for Error {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Absent(error) | Unread::Failed(error) => error,
        }
    }
}

/// Reads the image behind `digest`, which may name an index: then the one for `platform`.
pub(crate) fn read(store: &Store, digest: &Digest, platform: Option<&Platform>) -> Result<Image> {
    Ok(try_read(store, digest, platform)?)
}

fn try_read(store: &Store, digest: &Digest, platform: Option<&Platform>) -> Result<Image, Unread> {
    let (mut digest, mut told) = (*digest, false);
    let mut bytes = document(store, &digest)?;
    // It ends: an index cannot list itself, nor what lists it.
    while let Some(index) = as_index(&bytes, &digest)? {
        digest = choose(&index, &digest, platform)?;
        told |= index.manifests.iter().any(|one| one.digest == digest && one.platform.is_some());
        bytes = document(store, &digest)?;
    }
    let image = read_manifest(store, bytes, &digest)?;
    let own = image.config.value().platform();
    match platform {
        // What an index says was compared.
        Some(wanted) if !told && wanted.best_of([&own]).is_none() => {
            Err(Unread::Absent(wrong_platform(wanted, &[own])))
        }
        _ => Ok(image),
    }
}

/// The index in these bytes; `None` where they are a manifest.
fn as_index(bytes: &[u8], digest: &Digest) -> Result<Option<Index>> {
    /// What tells a manifest from an index.
    #[derive(serde::Deserialize)]
    struct Shape {
        manifests: Option<serde::de::IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(bytes).during(format!("manifest {digest}"))?;
    match shape.manifests {
        Some(_) => Ok(Some(serde_json::from_slice(bytes).during(format!("index {digest}"))?)),
        None => Ok(None),
    }
}

fn read_manifest(store: &Store, bytes: Vec<u8>, digest: &Digest) -> Result<Image, Unread> {
    let manifest: Raw<Manifest> = Raw::parse(bytes).during(format!("manifest {digest}"))?;
    let config_digest = manifest.value().config.digest;
    let config = Raw::parse(document(store, &config_digest)?).during(format!("config {config_digest}"))?;
    Ok(Image { manifest, config })
}

fn choose(index: &Index, digest: &Digest, platform: Option<&Platform>) -> Result<Digest, Unread> {
    let host = Platform::host();
    let wanted = platform.unwrap_or(&host);
    let offered: Vec<_> = index.manifests.iter().filter_map(|one| Some((one, one.platform.as_ref()?))).collect();
    let matching = wanted.best_of(offered.iter().map(|(_, platform)| *platform)).map(|at| offered[at].0);
    match (matching, index.manifests.as_slice()) {
        (Some(found), _) => Ok(found.digest),
        (None, [only]) if only.platform.is_none() => Ok(only.digest),
        (None, []) => Err(Unread::Failed(Error::failed(format!("index {digest} lists no image")))),
        (None, some) => {
            let there: Vec<_> = some.iter().filter_map(|one| one.platform.clone()).filter(is_image).collect();
            Err(Unread::Absent(wrong_platform(wanted, &there)))
        }
    }
}

/// BuildKit lists what it attests beside the images, for a platform that there is not.
fn is_image(platform: &Platform) -> bool {
    platform.os != "unknown"
}

fn wrong_platform(wanted: &Platform, there: &[Platform]) -> Error {
    let there: Vec<_> = there.iter().map(ToString::to_string).collect();
    Error::failed(format!("the image is not there for {wanted}, only for {}", there.join(", ")))
        .hint("`--platform` chooses another")
}

fn document(store: &Store, digest: &Digest) -> Result<Vec<u8>, Unread> {
    match store.blobs().read_bytes(digest, MAX_DOCUMENT) {
        Ok(bytes) => Ok(bytes),
        Err(error @ blobs::Error::Missing { .. }) => Err(Unread::Absent(error.into())),
        Err(error) => Err(Unread::Failed(error.into())),
    }
}

/// What an index lists, in its order; nothing where it is a manifest.
pub(crate) fn children(store: &Store, digest: &Digest) -> Result<Vec<Digest>> {
    let bytes = document(store, digest)?;
    let index = as_index(&bytes, digest)?;
    Ok(index.map(|index| index.manifests.iter().map(|child| child.digest).collect()).unwrap_or_default())
}

/// The platforms that an index lists images for, or that a manifest's configuration names.
fn offered(store: &Store, digest: &Digest) -> Result<Vec<Platform>> {
    let bytes = document(store, digest)?;
    match as_index(&bytes, digest)? {
        Some(index) => Ok(index.manifests.into_iter().filter_map(|one| one.platform).filter(is_image).collect()),
        None => Ok(vec![read_manifest(store, bytes, digest)?.config.value().platform()]),
    }
}

/// Every image with its names, images sorted newest first.
///
/// A row whose blobs are gone is left out here; `doctor` reports it.
pub(crate) fn all(store: &Store) -> Result<Vec<Named>> {
    let mut by_manifest: BTreeMap<Digest, Vec<ImageRow>> = BTreeMap::new();
    for row in store.index().images()? {
        by_manifest.entry(row.manifest).or_default().push(row);
    }
    let mut images = Vec::new();
    for (digest, mut rows) in by_manifest {
        let Ok(image) = read_any(store, &digest) else { continue };
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        images.push(Named { image, rows });
    }
    images.sort_by_key(|named| std::cmp::Reverse(created(&named.image)));
    Ok(images)
}

/// As [`read`] for the host's platform, or else the first platform whose documents are there.
pub(crate) fn read_any(store: &Store, digest: &Digest) -> Result<Image> {
    Ok(try_read_any(store, digest)?)
}

fn try_read_any(store: &Store, digest: &Digest) -> Result<Image, Unread> {
    let first = match try_read(store, digest, None) {
        Err(Unread::Absent(first)) => first,
        other => return other,
    };
    let Some(index) = as_index(&document(store, digest)?, digest)? else { return Err(Unread::Absent(first)) };
    let images = index.manifests.iter().filter(|one| one.platform.as_ref().is_none_or(is_image));
    for one in images {
        match document(store, &one.digest).and_then(|bytes| read_manifest(store, bytes, &one.digest)) {
            Err(Unread::Absent(_)) => {}
            other => return other,
        }
    }
    Err(Unread::Absent(first))
}

/// When the image was made, in seconds since 1970; 0 where it does not say.
pub(crate) fn created(image: &Image) -> i64 {
    image.config.value().created.as_ref().and_then(oci::Timestamp::unix_seconds).unwrap_or(0)
}
