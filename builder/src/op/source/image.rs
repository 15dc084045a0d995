//! An image of the store as a chain of layers.

use std::io;

use layer::Compression;
use oci::{Descriptor, DiffId, Digest, HashingWriter, ImageConfig, Manifest, Raw, media_type};
use store::{BlobForm, Blobs, LayerId, LayerRow, Lease, Store};

use crate::cache::key::Chain;
use crate::cache::record::Records;

/// A manifest or configuration is kilobytes; past this it is something else.
const MAX_DOCUMENT: u64 = 8 << 20;

/// Why an image cannot be built on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A document is not what it should be.
    #[error("{what} {digest}: {source}")]
    Document {
        /// `manifest` or `configuration`.
        what: &'static str,
        /// Which.
        digest: Digest,
        /// Why.
        source: oci::RawError,
    },
    /// The documents contradict each other.
    #[error("image {manifest} lists {layers} layers, its configuration {diff_ids}")]
    Count {
        /// The manifest.
        manifest: Digest,
        /// Layers there.
        layers: usize,
        /// Layers in the configuration.
        diff_ids: usize,
    },
    /// A layer is neither in the store as a tree nor as a blob.
    #[error("layer {layer} of image {manifest} is not in the store")]
    Layer {
        /// The manifest.
        manifest: Digest,
        /// The layer.
        layer: Digest,
    },
    /// A layer's blob is damaged.
    #[error("read layer {layer}: {source}")]
    Read {
        /// The layer.
        layer: Digest,
        /// Why.
        source: io::Error,
    },
    /// The configuration says something else of a layer than was found.
    #[error("layer {layer} unpacks to {found}, the configuration says {expected}")]
    DiffId {
        /// The layer.
        layer: Digest,
        /// What the configuration says.
        expected: DiffId,
        /// What it is.
        found: DiffId,
    },
}

/// The image's layers, base first.
pub(crate) fn chain(
    store: &Store,
    records: &Records<'_>,
    lease: Option<&Lease>,
    digest: &Digest,
    now: i64,
) -> Result<Chain, ImageError> {
    let fail = |what, digest: &Digest| {
        let digest = *digest;
        move |source| ImageError::Document { what, digest, source }
    };
    let read = |digest: &Digest| store.blobs().read_bytes(digest, MAX_DOCUMENT).map_err(store::Error::from);
    let manifest: Raw<Manifest> = Raw::parse(read(digest)?).map_err(fail("manifest", digest))?;
    let config_digest = manifest.value().config.digest;
    let config: Raw<ImageConfig> = Raw::parse(read(&config_digest)?).map_err(fail("configuration", &config_digest))?;
    let documents = Documents { digest: *digest, manifest: manifest.value(), config: config.value() };
    chain_of(store, records, lease, &documents, now)
}

/// What says which layers an image has.
pub(crate) struct Documents<'d> {
    /// The manifest's digest.
    pub(crate) digest: Digest,
    /// The manifest.
    pub(crate) manifest: &'d Manifest,
    /// The configuration.
    pub(crate) config: &'d ImageConfig,
}

/// As [`chain`], of documents that were read already.
pub(crate) fn chain_of(
    store: &Store,
    records: &Records<'_>,
    lease: Option<&Lease>,
    documents: &Documents<'_>,
    now: i64,
) -> Result<Chain, ImageError> {
    let digest = &documents.digest;
    let (layers, diff_ids) = (&documents.manifest.layers, &documents.config.rootfs.diff_ids);
    if layers.len() != diff_ids.len() {
        return Err(ImageError::Count { manifest: *digest, layers: layers.len(), diff_ids: diff_ids.len() });
    }
    let mut chain = Vec::with_capacity(layers.len());
    for (descriptor, diff_id) in layers.iter().zip(diff_ids) {
        if let Some(id) = known(store, records, lease, diff_id)? {
            chain.push(id);
            continue;
        }
        // Two builds that meet a layer for the first time must agree on its name.
        let _naming = store.lock_key(&format!("layer-{}", diff_id.digest().hex()))?;
        if let Some(id) = known(store, records, lease, diff_id)? {
            chain.push(id);
            continue;
        }
        let Some(size) = store.blobs().size(&descriptor.digest).map_err(store::Error::from)? else {
            return Err(ImageError::Layer { manifest: *digest, layer: descriptor.digest });
        };
        verify(store, descriptor, diff_id)?;
        let id = LayerId::mint();
        let plain = matches!(descriptor.media_type.as_str(), media_type::OCI_LAYER | media_type::DOCKER_LAYER);
        let blob = BlobForm { digest: descriptor.digest, media_type: descriptor.media_type.clone(), size };
        let row =
            LayerRow { id: id.clone(), tree: None, blob: Some(blob), size: if plain { size } else { 0 }, created: now };
        store.index().put_layer_with_diff_id(&row, diff_id).map_err(store::Error::from)?;
        chain.push(id);
    }
    Ok(Chain(chain))
}

/// A configuration must not give a blob another DiffId than it has: then every image with that DiffId would get it.
fn verify(store: &Store, layer: &Descriptor, diff_id: &DiffId) -> Result<(), ImageError> {
    let index = store.index();
    let row = index.layer_by_blob(&layer.digest).map_err(store::Error::from)?;
    let known = match row {
        Some(row) => index.diff_id(&row.id, None).map_err(store::Error::from)?,
        None => None,
    };
    let found = match known {
        Some((found, _)) => found,
        None => unpacked(store, &layer.digest).map_err(|source| ImageError::Read { layer: layer.digest, source })?,
    };
    if found == *diff_id {
        return Ok(());
    }
    Err(ImageError::DiffId { layer: layer.digest, expected: *diff_id, found })
}

/// What a blob unpacks to.
fn unpacked(store: &Store, layer: &Digest) -> io::Result<DiffId> {
    let blob = store.blobs().reader(layer)?;
    let (_, mut plain) = Compression::detecting(Box::new(blob)).map_err(io::Error::other)?;
    let mut hashing = HashingWriter::new(io::sink());
    io::copy(&mut plain, &mut hashing)?;
    Ok(DiffId::new(hashing.finish().1))
}

fn known(
    store: &Store,
    records: &Records<'_>,
    lease: Option<&Lease>,
    diff_id: &DiffId,
) -> Result<Option<LayerId>, ImageError> {
    for id in store.index().layers_by_diff_id(diff_id).map_err(store::Error::from)? {
        if let Some(lease) = lease {
            lease.pin(&[&id])?;
        }
        if records.layer(&id)?.is_some() {
            return Ok(Some(id));
        }
    }
    Ok(None)
}
