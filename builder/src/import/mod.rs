//! Images from outside: OCI layouts, archives of `docker save`, and tars of a root file system.
//!
//! Every digest and size that an image states is checked, its layers' DiffIds included, in the pass that stores the
//! bytes; the same pass makes each layer's header record. Bytes become an image only when all of them are there and right:
//! until then they are blobs that nothing names, which `prune` removes.

mod admit;
mod archive;
mod blob;
mod layout;

use std::io::{self, Read};
use std::path::PathBuf;

use oci::{Descriptor, DiffId, Digest, ImageConfig, Manifest, Platform, Raw, Reference, media_type};
use store::{Lease, Store};

/// The largest JSON document that an image may have. Registries stop at 4 MiB.
const MAX_DOCUMENT: u64 = 8 << 20;

/// What can go wrong with an image from outside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The store failed, or bytes are not what their digest says.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file could not be read.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A stream could not be read or decompressed.
    #[error("read {name}: {source}")]
    Stream {
        /// What was being read.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// An archive is not a sound tar.
    #[error(transparent)]
    Tar(#[from] layer::ReadError),
    /// A document is not JSON of its shape.
    #[error("{name}: {source}")]
    Document {
        /// Its name or digest.
        name: String,
        /// Why.
        source: oci::RawError,
    },
    /// A document is unreasonably large.
    #[error("{name} has {size} bytes, more than the {MAX_DOCUMENT} that a document may have")]
    TooLarge {
        /// Its name or digest.
        name: String,
        /// Its size.
        size: u64,
    },
    /// Something that the image names is not there.
    #[error("{name} is missing from the image")]
    Missing {
        /// Its name or digest.
        name: String,
    },
    /// There is no image of that name, or several and none was asked for.
    #[error("{what}; there {}", offered(.there))]
    Choice {
        /// What was wanted.
        what: String,
        /// What there is.
        there: Vec<String>,
    },
    /// Neither an OCI layout nor a docker archive.
    #[error("neither index.json nor manifest.json is in the archive: it is no image")]
    NoImage,
    /// The manifest lists more or fewer layers than the configuration.
    #[error("the manifest lists {manifest} layers, the configuration {config}")]
    LayerCount {
        /// In the manifest.
        manifest: usize,
        /// In the configuration.
        config: usize,
    },
    /// A layer does not unpack to what the configuration says.
    #[error("layer {layer} unpacks to {actual}, the configuration says {expected}")]
    DiffId {
        /// The blob.
        layer: Digest,
        /// What the configuration says.
        expected: DiffId,
        /// What it is.
        actual: DiffId,
    },
    /// A layer is no tar.
    #[error("layer {layer}: {reason}")]
    NotALayer {
        /// The blob.
        layer: Digest,
        /// What the tar reader said.
        reason: String,
    },
    /// A file is not what its name says.
    #[error("{name} has digest {actual}")]
    Name {
        /// The file.
        name: String,
        /// Its digest.
        actual: Digest,
    },
}

impl From<store::blobs::Error> for ImportError {
    fn from(error: store::blobs::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<store::index::Error> for ImportError {
    fn from(error: store::index::Error) -> Self {
        Self::Store(error.into())
    }
}

type Result<T, E = ImportError> = std::result::Result<T, E>;

/// Where an image goes. What the store has of it already is pinned: the lease alone protects only what is new.
struct Target<'s> {
    store: &'s Store,
    lease: Lease,
}

fn offered(there: &[String]) -> String {
    match there {
        [] => "is nothing".to_owned(),
        there => format!("is {}", there.join(", ")),
    }
}

/// Brings an image of the OCI layout in the folder `dir` into the store; gives its manifest's digest. `reference` is the
/// name in the layout or a digest; without one, the layout must hold one image, or one for the platform. What the store
/// has already is not read again.
///
/// # Errors
/// When there is no such image, or it is damaged.
pub fn layout(store: &Store, dir: &std::path::Path, reference: Option<&str>, platform: &Platform) -> Result<Digest> {
    let target = Target { store, lease: store.lease()? };
    layout::import(&target, dir, reference, platform)
}

/// Brings the images of an archive into the store: an OCI layout as a tar, or what `docker save` writes in its old form or
/// its new one; compressed or not. Gives each one's names and its manifest's digest.
///
/// # Errors
/// When it is none of these, or damaged.
pub fn archive(store: &Store, stream: Box<dyn Read + Send>) -> Result<Vec<(Vec<Reference>, Digest)>> {
    archive::import(&Target { store, lease: store.lease()? }, stream)
}

/// Makes an image of one layer from a tar of a root file system, compressed or not. `config` gets its DiffId; gives the
/// manifest's digest.
///
/// # Errors
/// When the stream is no tar.
pub fn tarball(store: &Store, mut stream: Box<dyn Read + Send>, mut config: ImageConfig) -> Result<Digest> {
    let target = Target { store, lease: store.lease()? };
    let ingested = blob::ingest(store, &mut *stream, "the tar", None)?;
    let scanned = ingested.scanned()?;
    config.rootfs.diff_ids = vec![scanned.diff_id];
    let config = encode(config)?;
    let descriptor = Descriptor::new(media_type::OCI_CONFIG, config.digest(), config.size());
    let layers = vec![Descriptor::new(scanned.media_type(), ingested.digest, ingested.size)];
    let manifest = encode(Manifest::new(descriptor, layers))?;
    admit::admit(&target, &manifest, &config, &[admit::Found::Fresh(ingested)])
}

/// Makes an image of another one's layers and one more, from the tar of a layer. `config` is the new image's, without layers. Gives the
/// manifest's digest.
///
/// # Errors
/// When the stream is no layer.
pub fn upon(
    store: &Store,
    base: (&Raw<Manifest>, &Raw<ImageConfig>),
    mut stream: Box<dyn Read + Send>,
    mut config: ImageConfig,
) -> Result<Digest> {
    let target = Target { store, lease: store.lease()? };
    let below = base.1.value().rootfs.diff_ids.iter().zip(&base.0.value().layers);
    let mut found: Vec<_> =
        below.map(|(diff_id, layer)| admit::Found::Known { digest: layer.digest, diff_id: *diff_id }).collect();
    let ingested = blob::ingest(store, &mut *stream, "the changes", None)?;
    let scanned = ingested.scanned()?;
    config.rootfs.diff_ids.clone_from(&base.1.value().rootfs.diff_ids);
    config.rootfs.diff_ids.push(scanned.diff_id);
    let config = encode(config)?;
    let descriptor = Descriptor::new(media_type::OCI_CONFIG, config.digest(), config.size());
    let mut layers = base.0.value().layers.clone();
    layers.push(Descriptor::new(scanned.media_type(), ingested.digest, ingested.size));
    let manifest = encode(Manifest::new(descriptor, layers))?;
    found.push(admit::Found::Fresh(ingested));
    admit::admit(&target, &manifest, &config, &found)
}

fn encode<T: serde::Serialize>(value: T) -> Result<Raw<T>> {
    Raw::encode(value).map_err(|source| ImportError::Document { name: "the new image".to_owned(), source })
}

fn parse<T: serde::de::DeserializeOwned>(bytes: Vec<u8>, name: impl ToString) -> Result<Raw<T>> {
    Raw::parse(bytes).map_err(|source| ImportError::Document { name: name.to_string(), source })
}
