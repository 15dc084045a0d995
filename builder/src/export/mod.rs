//! Where a result goes.

pub(crate) mod bundle;
pub(crate) mod encode;
pub(crate) mod form;
pub(crate) mod image;
pub(crate) mod images;
pub(crate) mod layers;
mod local;
pub(crate) mod oci_layout;
pub(crate) mod plain;
pub(crate) mod replacing;
pub(crate) mod squash;
mod tar;

use std::io;
use std::path::{Path, PathBuf};

use oci::{Descriptor, DiffId, Digest, Platform, Reference};
use runtime::tree::view::TreeView;
use store::Store;

use crate::attest;
use crate::build::{Build, Failure};
use crate::cache::key::Chain;
use crate::{Destination, Image, Output};
use bundle::Bundle;

/// What can go wrong while an image is written out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A kernel call failed.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A kernel call on a tree failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// A tar could not be written.
    #[error(transparent)]
    Tar(#[from] layer::WriteError),
    /// The image's tree could not be read.
    #[error(transparent)]
    View(#[from] runtime::tree::view::ViewError),
    /// A document of the image is not what it should be.
    #[error("{name}: {source}")]
    Document {
        /// Its digest or path.
        name: String,
        /// Why.
        source: oci::RawError,
    },
    /// A document could not be written.
    #[error("encode JSON: {source}")]
    Json {
        /// Why.
        source: serde_json::Error,
    },
    /// The manifest lists more or fewer layers than the configuration.
    #[error("the manifest lists {manifest} layers, the configuration {config}")]
    LayerCount {
        /// In the manifest.
        manifest: usize,
        /// In the configuration.
        config: usize,
    },
    /// A layer is in the store in no form.
    #[error("layer {layer} is gone from the store")]
    Gone {
        /// The blob that the manifest names.
        layer: Digest,
    },
    /// A layer's record is damaged.
    #[error("record of layer {layer}: {source}")]
    Record {
        /// The layer.
        layer: Digest,
        /// Why.
        source: layer::TocError,
    },
    /// A layer's tree could not be streamed.
    #[error("layer {layer}: {source}")]
    Tree {
        /// The layer.
        layer: Digest,
        /// Why.
        source: Box<runtime::tree::StreamError>,
    },
    /// A layer's tar could not be put together from its tree.
    #[error("layer {layer}: {source}")]
    Assemble {
        /// The layer.
        layer: Digest,
        /// Why.
        source: runtime::tree::AssembleError,
    },
    /// A layer's tree is no longer what its record says.
    #[error("layer {layer} now gives {actual}: it was changed in the store")]
    Changed {
        /// What it should be.
        layer: DiffId,
        /// What it is.
        actual: DiffId,
    },
    /// A layer's bytes could not be copied.
    #[error("copy layer {layer}: {source}")]
    Copy {
        /// The layer.
        layer: Digest,
        /// Why.
        source: io::Error,
    },
    /// A layer could not be compressed.
    #[error("compress: {source}")]
    Compress {
        /// Why.
        source: io::Error,
    },
    /// A layer's compression failed.
    #[error(transparent)]
    Compression(#[from] layer::CompressionError),
    /// A name for the image is not one.
    #[error(transparent)]
    Reference(#[from] oci::ReferenceError),
    /// An OCI layout as a folder cannot go to a stream.
    #[error("an OCI layout as a folder cannot go to standard output: ask for a tar")]
    FolderToStream,
    /// What is said of an image cannot be said of what it became.
    #[error("attestation {digest}: {source}")]
    Attestation {
        /// Its manifest.
        digest: Digest,
        /// Why.
        source: Failure,
    },
    /// This output is not made of a stored image.
    #[error("a stored image is saved as an OCI layout or a docker archive")]
    NotAnArchive,
}

impl ExportError {
    fn io(call: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { call, path: path.to_path_buf(), source }
    }
}

impl From<store::blobs::Error> for ExportError {
    fn from(error: store::blobs::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<store::index::Error> for ExportError {
    fn from(error: store::index::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Writes stored images, each with the names it goes out under, as an OCI layout or a docker archive.
///
/// # Errors
/// When a layer is gone, or the destination cannot be written; a file is replaced only by a whole one.
pub fn save(store: &Store, images: &[(Vec<Reference>, Digest)], output: &Output) -> Result<(), ExportError> {
    let lease = store.lease()?;
    lease.pin(&images.iter().map(|(_, digest)| *digest).collect::<Vec<_>>())?;
    let archive = |dest: &Destination, tar: bool| match (tar, dest) {
        (true, dest) => Bundle::tar(dest),
        (false, Destination::Path(dir)) => Bundle::folder(dir),
        (false, Destination::Stdout) => Err(ExportError::FolderToStream),
    };
    match output {
        Output::Oci { dest, tar, compression, dress } => {
            let how = oci_layout::How { compress: compression, dress: dress.as_ref() };
            oci_layout::write(store, images, &how, false, archive(dest, *tar)?)
        }
        Output::Docker { dest, tar, compression, dress } => {
            let how = oci_layout::How { compress: compression, dress: dress.as_ref() };
            oci_layout::write(store, images, &how, true, archive(dest, *tar)?)
        }
        Output::Image | Output::CacheOnly | Output::Tar { .. } | Output::Local { .. } => Err(ExportError::NotAnArchive),
    }
}

/// The tree of one image, where several may share a place.
struct Shown {
    /// Its folder there; empty for the place itself.
    folder: String,
    view: TreeView,
    /// What is said of it, as files beside its own.
    files: Vec<(String, Vec<u8>)>,
}

/// Writes one output; the images are in the store already, and `named` is what names name.
pub(crate) fn write(
    build: &Build<'_>,
    chains: &[&Chain],
    output: &Output,
    named: Option<&Descriptor>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let epoch = build.request.options.clamp();
    let views = |split: Option<bool>| -> Result<Vec<Shown>, Failure> {
        let split = split.unwrap_or(build.request.is_for_several());
        let view = |(image, chain): (&Image, &&Chain)| {
            let folder = if split { folder(&image.platform) } else { String::new() };
            let mut files = attest::files(build, image, chain)?;
            if !split && build.request.is_for_several() {
                files.iter_mut().for_each(|(name, _)| *name = format!("{}.{name}", self::folder(&image.platform)));
            }
            Ok(Shown { folder, view: build.layers.view(chain)?, files })
        };
        build.request.images.iter().zip(chains).map(view).collect()
    };
    match output {
        Output::Image | Output::CacheOnly => Ok(()),
        Output::Oci { dress, .. } | Output::Docker { dress, .. } => {
            // An output that is dressed has names of its own, or none.
            let names = dress.as_ref().map_or(&build.request.tags, |dress| &dress.names);
            let names: Result<Vec<Reference>, _> = names.iter().map(|tag| tag.parse()).collect();
            let digest = named.ok_or("the image was not made")?.digest;
            Ok(save(build.store, &[(names?, digest)], output)?)
        }
        Output::Tar { dest, split } => Ok(tar::write(&views(*split)?, dest, epoch)?),
        Output::Local { dest, split } => {
            for shown in views(*split)? {
                let dest = dest.join(&shown.folder);
                local::write(&shown.view, &dest, epoch)?;
                local::add(&dest, &shown.files, epoch)?;
            }
            Ok(())
        }
    }
}

/// The folder of a platform where several share a place: `linux_arm_v7`, as buildx calls it.
fn folder(platform: &Platform) -> String {
    platform.to_string().replace('/', "_")
}
