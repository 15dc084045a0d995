//! What is attached to an image of the store.

use oci::{Descriptor, Digest, Index, Manifest, Platform, Raw};
use store::{Blobs, Store};

use super::layout::{KIND, STATEMENT};
use super::retarget::refers_to;
use crate::transfer::copy::{CopyError, Opened, Parsed};

/// A statement. An inventory of a full desktop has ten MiB.
pub(super) const MAX_STATEMENT: u64 = 256 << 20;
/// Manifests and indexes are kilobytes.
const MAX_DOCUMENT: u64 = 8 << 20;

/// Why what is attached cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::blobs::Error),
    /// A document is not what it should be.
    #[error("{digest}: {source}")]
    Document {
        /// Its digest.
        digest: Digest,
        /// Why.
        source: oci::RawError,
    },
}

/// One statement that is attached to an image.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The image's manifest.
    pub image: Digest,
    /// The image's platform.
    pub platform: Option<Platform>,
    /// The manifest that the statement stands in.
    pub manifest: Digest,
    /// What it says: the type of its predicate.
    pub kind: String,
    /// The statement; `None` where the store knows that there are some, and has none of them.
    pub statement: Option<Descriptor>,
}

/// What is attached to the images of an index, in its order; nothing where `top` is no index.
///
/// # Errors
/// When a document is damaged.
pub fn attached(store: &Store, top: &Digest) -> Result<Vec<Attached>, ReadError> {
    let Some(bytes) = read(store, top)? else { return Ok(Vec::new()) };
    let Ok(index) = Raw::<Index>::parse(bytes) else { return Ok(Vec::new()) };
    let index = index.into_value();
    let mut all = Vec::new();
    for entry in &index.manifests {
        let Some(image) = refers_to(entry) else { continue };
        let Some(bytes) = read(store, &entry.digest)? else {
            let manifest = entry.digest;
            all.push(Attached { image, platform: None, manifest, kind: String::new(), statement: None });
            continue;
        };
        let manifest = Raw::<Manifest>::parse(bytes);
        let manifest = manifest.map_err(|source| ReadError::Document { digest: entry.digest, source })?;
        for mut one in of_manifest(&index, entry, image, manifest.value()) {
            if let Some(layer) = &one.statement
                && store.blobs().size(&layer.digest)?.is_none()
            {
                one.statement = None;
            }
            all.push(one);
        }
    }
    Ok(all)
}

/// As [`attached`], wherever the image is.
///
/// # Errors
/// When a document cannot be had.
pub async fn attached_at(opened: &Opened) -> Result<Vec<Attached>, CopyError> {
    let Parsed::Index(index) = opened.top().await?.parse()? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for entry in &index.manifests {
        let Some(image) = refers_to(entry) else { continue };
        let Parsed::Image(manifest) = opened.document(entry).await?.parse()? else { continue };
        all.extend(of_manifest(&index, entry, image, &manifest));
    }
    Ok(all)
}

/// The bytes of a statement, wherever the image is.
///
/// # Errors
/// When they cannot be had.
pub async fn statement_at(opened: &Opened, statement: &Descriptor) -> Result<Vec<u8>, CopyError> {
    opened.bytes(statement, MAX_STATEMENT).await
}

/// The statements in a manifest of an index.
fn of_manifest(index: &Index, entry: &Descriptor, image: Digest, manifest: &Manifest) -> Vec<Attached> {
    let platform = index.manifests.iter().find(|other| other.digest == image).and_then(|found| found.platform.clone());
    let statements = manifest.layers.iter().filter(|layer| layer.media_type == STATEMENT);
    let one = |layer: &Descriptor| Attached {
        image,
        platform: platform.clone(),
        manifest: entry.digest,
        kind: layer.annotations.get(KIND).cloned().unwrap_or_default(),
        statement: Some(layer.clone()),
    };
    statements.map(one).collect()
}

/// The bytes of a statement.
///
/// # Errors
/// When the store does not have it.
pub fn statement(store: &Store, statement: &Descriptor) -> Result<Vec<u8>, ReadError> {
    Ok(store.blobs().read_bytes(&statement.digest, MAX_STATEMENT)?)
}

fn read(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError> {
    match store.blobs().read_bytes(digest, MAX_DOCUMENT) {
        Err(store::blobs::Error::Missing { .. }) => Ok(None),
        other => Ok(other.map(Some)?),
    }
}
