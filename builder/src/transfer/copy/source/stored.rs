//! An image of the store as a source: the manifest that an export would write, and its layers in the forms that are here.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use oci::{Descriptor, Digest, ImageConfig, Manifest, Raw};
use remote::{BytesSource, Client, FileSource, Pieces, RemoteSource, SourceError};
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
    layers: Layers,
    _lease: Lease,
}

enum Layers {
    /// In the forms that are here, which the manifest names.
    Prepared(BTreeMap<Digest, Layer>),
    /// Those of the image's own manifest: from the store, or from where they came.
    Own(Client),
}

impl Image {
    /// Reads an image's documents; `digest` is its manifest's. With a client, it is the very image: layers that are here in
    /// another form come from the registries where they were seen.
    pub(super) fn open(store: &Arc<Store>, digest: &Digest, own: Option<&Client>) -> Result<Self, CopyError> {
        let lease = store.lease()?;
        lease.pin(&[digest])?;
        let manifest: Raw<Manifest> = document(store, digest)?;
        let config: Raw<ImageConfig> = document(store, &manifest.value().config.digest)?;
        let (manifest, config, layers) = match own {
            Some(client) => (manifest, config, Layers::Own(client.clone())),
            None => {
                let prepared = layers::prepare(store, manifest.value(), config.value(), &Compress::default())?;
                let (written, config) = with_layers(manifest, config, &prepared)?;
                let by_digest = prepared.into_iter().map(|layer| (layer.descriptor.digest, layer)).collect();
                (written, config, Layers::Prepared(by_digest))
            }
        };
        let media_type = manifest.value().media_type.as_deref().unwrap_or(oci::media_type::OCI_MANIFEST);
        Ok(Self {
            top: Document::made(manifest.bytes().to_vec(), media_type),
            config: Bytes::copy_from_slice(config.bytes()),
            config_digest: config.digest(),
            layers,
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
        let absent = |problem: &str| CopyError::Choice {
            place: self.name(),
            problem: format!("{} {problem}", descriptor.digest),
            there: Vec::new(),
        };
        match &self.layers {
            Layers::Prepared(layers) => {
                let layer = layers.get(&descriptor.digest).ok_or_else(|| absent("is none of its layers"))?;
                Ok(Box::new(LayerBlob { store: Arc::clone(&self.store), layer: layer.clone() }))
            }
            Layers::Own(client) => self
                .own(client, descriptor)?
                .ok_or_else(|| absent("is in the store in another form only, and no registry is known to have it")),
        }
    }

    /// A blob as the manifest names it.
    fn own(&self, client: &Client, descriptor: &Descriptor) -> Result<Option<Box<dyn remote::Source>>, CopyError> {
        let (digest, size) = (descriptor.digest, descriptor.size);
        if self.store.blobs().size(&digest)? == Some(size) {
            return Ok(Some(Box::new(FileSource::new(self.store.layout().blob(&digest), digest, size))));
        }
        let mut places = Vec::new();
        for origin in self.store.index().origins(&digest)? {
            // What an earlier version wrote there may be no name any more.
            if let (Ok(registry), Ok(repository)) = (client.registry(&origin.registry), origin.repository.parse()) {
                places.push(registry.repository(&repository));
            }
        }
        let source = (!places.is_empty()).then(|| RemoteSource::new(places, digest, size));
        Ok(source.map(|source| Box::new(source) as Box<dyn remote::Source>))
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
