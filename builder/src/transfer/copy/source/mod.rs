//! Where a copy reads: documents by digest, blobs from any offset, and what refers to a manifest.

mod files;
mod member;
mod registry;
mod stored;
mod tar;

use oci::{Descriptor, Digest};
use remote::{Repository, Source as Blob};

use super::document::Document;
use super::{CopyError, Hands, Place};

pub(super) use files::{IMAGE_NAME, REF_NAME, blob_path};
pub(crate) use registry::Registry;

/// A place that is read.
#[expect(clippy::large_enum_variant, reason = "there is one of it in a copy")]
pub(super) enum Source {
    /// A registry's repository, and its mirrors.
    Registry(Registry),
    /// An OCI layout, as a folder or a tar.
    Files(files::Layout),
    /// An image of the store.
    Stored(Box<stored::Image>),
}

impl Source {
    /// Opens a place. Docker's archives and names of the store are resolved before: see [`super::stored`].
    pub(super) async fn open(hands: &Hands<'_>, place: &Place) -> Result<Self, CopyError> {
        match place {
            Place::Registry(reference) => Ok(Self::Registry(Registry::new(hands.source, reference.clone())?)),
            Place::Layout { dir, which } => {
                files::Layout::folder(dir, which.clone(), place.to_string()).map(Self::Files)
            }
            Place::Archive { file, which } => {
                let (file, which, name) = (file.clone(), which.clone(), place.to_string());
                let opened = tokio::task::spawn_blocking(move || files::Layout::tar(&file, which, name));
                opened.await.map_err(|error| CopyError::lost(&error))?.map(Self::Files)
            }
            Place::DockerArchive { .. } | Place::Store(_) => {
                Err(CopyError::Pair { from: place.transport(), to: "store", why: "" })
            }
        }
    }

    /// An image of the store: as it would be exported, or, `exactly`, with the layers of its own manifest, wherever they are.
    pub(super) fn stored(hands: &Hands<'_>, manifest: &Digest, exactly: bool) -> Result<Self, CopyError> {
        let store = hands.store.ok_or_else(|| CopyError::NoStore(manifest.to_string()))?;
        Ok(Self::Stored(Box::new(stored::Image::open(store, manifest, exactly.then_some(hands.source))?)))
    }

    /// What the place's name points at.
    pub(super) async fn top(&self) -> Result<Document, CopyError> {
        match self {
            Self::Registry(registry) => registry.top().await,
            Self::Files(layout) => layout.top(),
            Self::Stored(image) => Ok(image.top()),
        }
    }

    /// A document by its descriptor.
    pub(super) async fn document(&self, descriptor: &Descriptor) -> Result<Document, CopyError> {
        match self {
            Self::Registry(registry) => registry.document(descriptor).await,
            Self::Files(layout) => layout.document(descriptor),
            Self::Stored(image) => Err(CopyError::Choice {
                place: image.name(),
                problem: format!("{} is not in the store", descriptor.digest),
                there: Vec::new(),
            }),
        }
    }

    /// A blob by its descriptor. Its bytes are not verified: who takes them does.
    pub(super) fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Blob>, CopyError> {
        match self {
            Self::Registry(registry) => Ok(Box::new(registry.blob(descriptor))),
            Self::Files(layout) => Ok(Box::new(layout.blob(descriptor)?)),
            Self::Stored(image) => image.blob(descriptor),
        }
    }

    /// What refers to a manifest.
    pub(super) async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, CopyError> {
        match self {
            Self::Registry(registry) => registry.referrers(subject).await,
            Self::Files(layout) => layout.referrers(subject),
            Self::Stored(_) => Ok(Vec::new()),
        }
    }

    /// The repository from which a registry of the same name may mount.
    pub(super) fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Registry(registry) => Some(registry.itself()),
            Self::Files(_) | Self::Stored(_) => None,
        }
    }
}

/// Whether a tar is a layout.
pub(super) fn is_layout(file: &std::path::Path, which: &super::Which, place: &Place) -> Result<bool, CopyError> {
    match files::Layout::tar(file, which.clone(), place.to_string()) {
        Ok(_) => Ok(true),
        Err(CopyError::NoLayout { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
