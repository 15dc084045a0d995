//! An image of the store as a source: the manifest that an export would write, and its layers in the forms that are here.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use oci::{Descriptor, Digest, ImageConfig, Manifest, Raw};
use remote::{BytesSource, Pieces, SourceError};
use store::{Blobs, Lease, Store};
use tokio::sync::mpsc;

use crate::Compress;
use crate::export::layers::{self, Layer};
use crate::export::oci_layout::with_layers;
use crate::transfer::copy::CopyError;
use crate::transfer::copy::document::{Document, MAX_DOCUMENT};

/// Pieces of a layer that wait for who takes them.
const WAITING: usize = 4;

/// An image of the store.
pub(crate) struct Image {
    store: Arc<Store>,
    top: Document,
    config: Bytes,
    config_digest: Digest,
    layers: BTreeMap<Digest, Layer>,
    _lease: Lease,
}

impl Image {
    /// Reads an image's documents; `digest` is its manifest's.
    pub(super) fn open(store: &Arc<Store>, digest: &Digest) -> Result<Self, CopyError> {
        let lease = store.lease()?;
        lease.pin(&[digest])?;
        let manifest: Raw<Manifest> = document(store, digest)?;
        let config: Raw<ImageConfig> = document(store, &manifest.value().config.digest)?;
        let prepared = layers::prepare(store, manifest.value(), config.value(), &Compress::default())?;
        let written = with_layers(manifest, &prepared)?;
        let media_type = written.value().media_type.as_deref().unwrap_or(oci::media_type::OCI_MANIFEST);
        Ok(Self {
            top: Document::made(written.bytes().to_vec(), media_type),
            config: Bytes::copy_from_slice(config.bytes()),
            config_digest: config.digest(),
            layers: prepared.into_iter().map(|layer| (layer.descriptor.digest, layer)).collect(),
            store: Arc::clone(store),
            _lease: lease,
        })
    }

    pub(super) fn top(&self) -> Document {
        self.top.clone()
    }

    pub(super) fn name(&self) -> String {
        format!("store:{}", self.top.digest)
    }

    pub(super) fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn remote::Source>, CopyError> {
        if descriptor.digest == self.config_digest {
            return Ok(Box::new(BytesSource::new(descriptor.digest, self.config.clone())));
        }
        match self.layers.get(&descriptor.digest) {
            Some(layer) => Ok(Box::new(LayerBlob { store: Arc::clone(&self.store), layer: layer.clone() })),
            None => Err(CopyError::Choice {
                place: self.name(),
                problem: format!("{} is none of its layers", descriptor.digest),
                there: Vec::new(),
            }),
        }
    }
}

fn document<T: serde::de::DeserializeOwned>(store: &Store, digest: &Digest) -> Result<Raw<T>, CopyError> {
    let bytes = store.blobs().read_bytes(digest, MAX_DOCUMENT)?;
    Raw::parse(bytes).map_err(|error| CopyError::Document { digest: *digest, problem: error.to_string() })
}

/// A layer in whatever form it has: a thread writes it, whoever takes the pieces sets its pace.
struct LayerBlob {
    store: Arc<Store>,
    layer: Layer,
}

impl remote::Source for LayerBlob {
    fn known(&self) -> Option<(Digest, u64)> {
        Some((self.layer.descriptor.digest, self.layer.descriptor.size))
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Pieces, SourceError>> {
        let (pieces, taken) = mpsc::channel::<Result<Bytes, SourceError>>(WAITING);
        let (store, layer, last) = (Arc::clone(&self.store), self.layer.clone(), pieces.clone());
        tokio::task::spawn_blocking(move || {
            // Who takes nothing any more has said why already.
            if let Err(error) = layer.write_to(&store, Skipping { left: offset, pieces }) {
                drop(last.blocking_send(Err(error.into())));
            }
        });
        let stream = futures_util::stream::unfold(taken, |mut taken| async move {
            let next = taken.recv().await?;
            Some((next, taken))
        });
        Box::pin(async move { Ok(stream.boxed()) })
    }
}

/// Hands on what is behind an offset.
struct Skipping {
    left: u64,
    pieces: mpsc::Sender<Result<Bytes, SourceError>>,
}

impl Write for Skipping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left -= skipped as u64;
        if skipped < bytes.len() {
            let piece = Bytes::copy_from_slice(&bytes[skipped..]);
            self.pieces.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
