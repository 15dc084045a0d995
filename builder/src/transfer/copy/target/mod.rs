//! Where a copy goes: what is there, blobs, and documents after all that they name.

mod folder;
mod index_json;
mod registry;
mod tar;

use oci::{Descriptor, Digest};
use remote::Repository;

use super::checked::Checked;
use super::document::Document;
use super::{CopyError, Hands, Place, Which};
use crate::transfer::Step;

pub(super) use folder::Folder;
pub(super) use registry::Registry;
pub(super) use tar::Archive;

/// Takes what becomes of an item.
pub(super) type Told<'a> = &'a (dyn Fn(Step) + Send + Sync);

/// A place that is written to.
#[expect(clippy::large_enum_variant, reason = "there is one of it in a copy")]
pub(super) enum Target {
    /// A registry's repository.
    Registry(Registry),
    /// An OCI layout as a folder.
    Folder(Folder),
    /// An OCI layout as a tar, with docker's manifest.json beside its index or without.
    Archive(Archive),
}

/// How a blob is to come.
pub(super) struct Way<'a> {
    /// Its bytes.
    pub(super) source: Checked,
    /// The repository that it comes from, if it is one.
    pub(super) from: Option<&'a Repository>,
}

impl Target {
    /// Opens a place. Nothing is visible there before its first blob or document.
    pub(super) fn open(hands: &Hands<'_>, place: &Place) -> Result<Self, CopyError> {
        match place {
            Place::Registry(reference) => Ok(Self::Registry(Registry::new(hands, reference.clone())?)),
            Place::Layout { dir, which } => Folder::open(dir, which.clone()).map(Self::Folder),
            Place::Archive { file, which } => Archive::open(file, which.clone(), None).map(Self::Archive),
            Place::DockerArchive { file, reference } => {
                Archive::open(file, Which::Only, Some(reference.clone())).map(Self::Archive)
            }
            Place::Store(_) => Err(CopyError::Pair { from: "oci", to: "store", why: "" }),
        }
    }

    /// Blobs that it takes at once.
    pub(super) fn most_parallel(&self) -> usize {
        match self {
            Self::Registry(_) | Self::Folder(_) => usize::MAX,
            // A tar has one end.
            Self::Archive(_) => 1,
        }
    }

    /// Why it cannot hold this.
    pub(super) fn refuses(&self, top: &Document) -> Option<CopyError> {
        match self {
            Self::Archive(archive) if archive.is_docker() => tar::docker_refuses(top).err(),
            Self::Registry(_) | Self::Folder(_) | Self::Archive(_) => None,
        }
    }

    /// Whether it has a document with all that this names.
    pub(super) async fn presence(&self, descriptor: &Descriptor, is_top: bool) -> Result<Presence, CopyError> {
        match self {
            Self::Registry(registry) => registry.presence(&descriptor.digest, is_top).await,
            // Files may be taken out of a folder one by one: each blob is looked for.
            Self::Folder(_) | Self::Archive(_) => Ok(Presence::Absent),
        }
    }

    /// Brings a blob.
    pub(super) async fn blob(&self, descriptor: &Descriptor, way: Way<'_>, told: Told<'_>) -> Result<u64, CopyError> {
        match self {
            Self::Registry(registry) => registry.blob(way, told).await,
            Self::Folder(folder) => folder.blob(descriptor, way.source, told).await,
            Self::Archive(archive) => archive.blob(descriptor, way.source, told).await,
        }
    }

    /// Brings a document; `is_top`: the one that gets the name. Gives whether it was not there.
    pub(super) async fn document(
        &self,
        document: &Document,
        subject: Option<&Digest>,
        is_top: bool,
    ) -> Result<bool, CopyError> {
        match self {
            Self::Registry(registry) => registry.document(document, subject, is_top).await.map(|()| true),
            Self::Folder(folder) => folder.document(document, subject).await,
            Self::Archive(archive) => archive.document(document, subject).await,
        }
    }

    /// Ends it: what has a name points at `top` now.
    pub(super) async fn finish(self, top: &Descriptor) -> Result<(), CopyError> {
        match self {
            Self::Registry(_) => Ok(()),
            Self::Folder(folder) => folder.finish(top).await,
            Self::Archive(archive) => archive.finish(top).await,
        }
    }
    /// Gives it up: what is not whole goes.
    pub(super) async fn abandon(self) {
        match self {
            // What is whole of it serves the next try.
            Self::Registry(_) | Self::Folder(_) => {}
            Self::Archive(archive) => archive.abandon().await,
        }
    }
}

/// Whether a document is at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Not that we know.
    Absent,
    /// By its digest.
    There,
    /// And the name points at it.
    Named,
}
