//! What a build's names name: one image, or an index over the images of several platforms.
//! Specification: OCI image-spec, image-index.md.

use oci::{Descriptor, Digest, Index, Raw, media_type};
use store::{Blobs, Lease, Store};

use super::image::{self, Composed};
use crate::{BuiltImage, Request};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The images of a build, all there but their names.
pub(crate) struct Images {
    images: Vec<(BuiltImage, Composed)>,
    /// The index over them, where there are several.
    index: Option<Raw<Index>>,
}

impl Images {
    /// Takes the images that were composed, in the request's order.
    pub(crate) fn new(request: &Request, composed: Vec<Composed>) -> Result<Self, Failure> {
        let built = |(image, composed): (&crate::Image, Composed)| {
            let manifest = composed.descriptor(image);
            let config_digest = composed.config.digest();
            (BuiltImage { platform: image.platform.clone(), manifest, config_digest }, composed)
        };
        let images: Vec<_> = request.images.iter().zip(composed).map(built).collect();
        let index = request.is_for_several().then(|| {
            let list = images.iter().map(|(built, _)| built.manifest.clone()).collect();
            Raw::encode(Index::new(list))
        });
        Ok(Self { images, index: index.transpose()? })
    }

    /// Describes the index, if there is one.
    pub(crate) fn index(&self) -> Option<Descriptor> {
        let index = self.index.as_ref()?;
        Some(Descriptor::new(media_type::OCI_INDEX, index.digest(), index.bytes().len() as u64))
    }

    /// Describes the images.
    pub(crate) fn built(&self) -> Vec<BuiltImage> {
        self.images.iter().map(|(built, _)| built.clone()).collect()
    }

    /// What names name.
    fn named(&self) -> Option<Digest> {
        let first = self.images.first().map(|(built, _)| built.manifest.digest);
        self.index.as_ref().map(Raw::digest).or(first)
    }

    /// Whether the store holds all under all these names.
    pub(crate) fn are_committed(&self, store: &Store, tags: &[String]) -> Result<bool, Failure> {
        for tag in tags {
            if store.index().image(tag)?.map(|row| row.manifest) != self.named() {
                return Ok(false);
            }
        }
        if let Some(index) = &self.index
            && store.blobs().size(&index.digest())?.is_none()
        {
            return Ok(false);
        }
        self.images.iter().try_fold(true, |all, (_, composed)| Ok(all && image::is_kept(store, composed)?))
    }

    /// Commits them, durably: each image, then the index, then the names.
    pub(crate) fn commit(&self, store: &Store, tags: &[String], lease: &Lease, now: i64) -> Result<(), Failure> {
        for (_, composed) in &self.images {
            image::commit(store, composed, lease)?;
        }
        if let Some(index) = &self.index {
            lease.pin(&[index.digest()])?;
            let digest = store.blobs().put_bytes(index.bytes())?;
            let children: Vec<Digest> = self.images.iter().map(|(built, _)| built.manifest.digest).collect();
            store.index().put_edges(&digest, &children)?;
        }
        let Some(named) = self.named() else { return Ok(()) };
        for tag in tags {
            store.index().put_image(tag, &named, now)?;
        }
        Ok(())
    }
}
