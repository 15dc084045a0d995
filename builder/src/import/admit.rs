//! The last step of every import: all that an image says is compared with what was found, then it is an image.

use std::time::SystemTime;

use oci::{DiffId, Digest, ImageConfig, Manifest, Raw};
use store::{BlobForm, Blobs, LayerId, LayerRow};

use super::blob::{Ingested, Scanned};
use super::{ImportError, Result, Target};

/// A layer of the image.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// The store knew it.
    Known {
        /// The blob.
        digest: Digest,
        /// What it unpacks to.
        diff_id: DiffId,
    },
    /// It was just stored.
    Fresh(Ingested),
}

/// Whether the store has a layer, as a blob whose DiffId is known.
pub(super) fn known(target: &Target<'_>, digest: &Digest) -> Result<Option<Found>> {
    let store = target.store;
    target.lease.pin(&[digest])?;
    let Some(row) = store.index().layer_by_blob(digest)? else { return Ok(None) };
    if store.blobs().size(digest)?.is_none() {
        return Ok(None);
    }
    let found = store.index().diff_id(&row.id, None)?;
    Ok(found.map(|(diff_id, _)| Found::Known { digest: *digest, diff_id }))
}

/// Makes the image one of the store's; gives its manifest's digest.
pub(super) fn admit(
    target: &Target<'_>,
    manifest: &Raw<Manifest>,
    config: &Raw<ImageConfig>,
    layers: &[Found],
) -> Result<Digest> {
    let store = target.store;
    let expected = &config.value().rootfs.diff_ids;
    if expected.len() != layers.len() {
        return Err(ImportError::LayerCount { manifest: layers.len(), config: expected.len() });
    }
    for (layer, expected) in layers.iter().zip(expected) {
        let (layer, actual) = match layer {
            Found::Known { digest, diff_id } => (*digest, *diff_id),
            Found::Fresh(ingested) => (ingested.digest, ingested.scanned()?.diff_id),
        };
        if actual != *expected {
            return Err(ImportError::DiffId { layer, expected: *expected, actual });
        }
    }
    for layer in layers {
        if let Found::Fresh(ingested) = layer {
            keep(target, ingested, ingested.scanned()?)?;
        }
    }
    let digest = manifest.digest();
    target.lease.pin(&[digest, config.digest()])?;
    let value = manifest.value();
    let children: Vec<Digest> = std::iter::once(&value.config).chain(&value.layers).map(|child| child.digest).collect();
    let blobs = store.blobs();
    if store.index().edges(&digest)?.is_empty()
        || blobs.size(&digest)?.is_none()
        || blobs.size(&config.digest())?.is_none()
    {
        blobs.put_bytes(config.bytes())?;
        blobs.put_bytes(manifest.bytes())?;
        store.index().put_edges(&digest, &children)?;
    }
    Ok(digest)
}

/// Gives the layer a row and a record, unless an earlier one of the same image did.
fn keep(target: &Target<'_>, ingested: &Ingested, scanned: &Scanned) -> Result<()> {
    if known(target, &ingested.digest)?.is_some() {
        return Ok(());
    }
    let store = target.store;
    let id = LayerId::mint();
    store.put_toc(&id, false, |out| scanned.toc.encode(out).map_err(std::io::Error::other))?;
    let blob = BlobForm { digest: ingested.digest, media_type: scanned.media_type().to_owned(), size: ingested.size };
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let created = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let row = LayerRow { id, tree: None, blob: Some(blob), size: scanned.size, created };
    store.index().put_layer_with_diff_id(&row, &scanned.diff_id)?;
    Ok(())
}
