//! What a build's names name: one image, or an index over the images of several platforms.
//! Specification: OCI image-spec, image-index.md.

use std::collections::BTreeMap;

use oci::{Descriptor, Digest, Index, Raw, RawError, media_type};
use store::{Blobs, Lease, Store};

use super::image::{self, Composed};
use crate::attest::Attested;
use crate::{BuiltImage, Dress, Level, Request};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The annotation by which what says something of an image, beside it in an index, names it. As BuildKit has it.
pub(crate) const SUBJECT: &str = "vnd.docker.reference.digest";

/// An index with these entries in the place of its own, which they describe in another form: its exact bytes, where nothing
/// changed. Entries that speak of another one follow it.
pub(crate) fn with_children(index: Raw<Index>, children: &[Descriptor]) -> Result<Raw<Index>, RawError> {
    let own = &index.value().manifests;
    if own.iter().map(|own| own.digest).eq(children.iter().map(|child| child.digest)) {
        return Ok(index);
    }
    let moved: BTreeMap<String, String> =
        own.iter().zip(children).map(|(own, child)| (own.digest.to_string(), child.digest.to_string())).collect();
    let mut changed = index.into_value();
    for (own, child) in changed.manifests.iter_mut().zip(children) {
        if own.digest != child.digest {
            own.media_type.clone_from(&child.media_type);
            (own.digest, own.size, own.data) = (child.digest, child.size, None);
        }
        if let Some(subject) = own.annotations.get_mut(SUBJECT)
            && let Some(new) = moved.get(subject)
        {
            subject.clone_from(new);
        }
    }
    Raw::encode(changed)
}

/// Annotates an index, and settles its media type: it is docker's only over docker's manifests.
pub(crate) fn dress_index(index: &mut Index, dress: &Dress) {
    index.annotations.extend(dress.at(Level::Index, None));
    let docker = |child: &Descriptor| child.media_type == media_type::DOCKER_MANIFEST;
    if dress.docker_types && index.annotations.is_empty() && index.manifests.iter().all(docker) {
        index.media_type = Some(media_type::DOCKER_INDEX.to_owned());
    }
}

/// The images of a build, all there but their names.
pub(crate) struct Images {
    images: Vec<(BuiltImage, Composed)>,
    /// What is said of them.
    attested: Vec<Attested>,
    /// The index over them, where there are several, or something is said of one.
    index: Option<Raw<Index>>,
    /// What is said of the index where it is pointed to.
    on_index: BTreeMap<String, String>,
}

impl Images {
    /// Takes the images that were composed, in the request's order, and what is said of them.
    pub(crate) fn new(request: &Request, composed: Vec<Composed>, attested: Vec<Attested>) -> Result<Self, Failure> {
        let dress = &request.options.exporting.dress;
        let built = |(image, composed): (&crate::Image, Composed)| {
            let mut manifest = composed.descriptor(image);
            manifest.annotations.extend(dress.at(Level::ManifestDescriptor, Some(&image.platform)));
            let config_digest = composed.config.digest();
            (BuiltImage { platform: image.platform.clone(), manifest, config_digest }, composed)
        };
        let images: Vec<_> = request.images.iter().zip(composed).map(built).collect();
        let index = (request.is_for_several() || !attested.is_empty()).then(|| {
            let list = images.iter().map(|(built, _)| built.manifest.clone());
            let mut index = Index::new(list.chain(attested.iter().map(Attested::descriptor)).collect());
            dress_index(&mut index, dress);
            Raw::encode(index)
        });
        let on_index = dress.at(Level::IndexDescriptor, None);
        Ok(Self { images, attested, index: index.transpose()?, on_index })
    }

    /// Whether committing them reads trees.
    pub(crate) fn have_trees(&self) -> bool {
        self.images.iter().any(|(_, composed)| composed.has_trees())
    }

    /// Describes the index, if there is one.
    pub(crate) fn index(&self) -> Option<Descriptor> {
        let index = self.index.as_ref()?;
        let media_type = index.value().media_type.as_deref().unwrap_or(media_type::OCI_INDEX);
        let mut descriptor = Descriptor::new(media_type, index.digest(), index.bytes().len() as u64);
        descriptor.annotations.clone_from(&self.on_index);
        Some(descriptor)
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
        for attested in &self.attested {
            if !attested.is_kept(store)? {
                return Ok(false);
            }
        }
        self.images.iter().try_fold(true, |all, (_, composed)| Ok(all && image::is_kept(store, composed)?))
    }

    /// Commits them, durably: each image, then the index, then the names.
    pub(crate) fn commit(&self, store: &Store, tags: &[String], lease: &Lease, now: i64) -> Result<(), Failure> {
        for (_, composed) in &self.images {
            image::commit(store, composed, lease)?;
        }
        for attested in &self.attested {
            attested.commit(store, lease)?;
        }
        if let Some(index) = &self.index {
            lease.pin(&[index.digest()])?;
            let digest = store.blobs().put_bytes(index.bytes())?;
            let children: Vec<Digest> = index.value().manifests.iter().map(|child| child.digest).collect();
            store.index().put_edges(&digest, &children)?;
        }
        let Some(named) = self.named() else { return Ok(()) };
        for tag in tags {
            store.index().put_image(tag, &named, now)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Descriptor {
        Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(name.as_bytes()), 1)
    }

    #[test]
    fn what_speaks_of_an_image_follows_it() {
        let mut attestation = entry("attestation");
        attestation.annotations.insert(SUBJECT.to_owned(), entry("b").digest.to_string());
        let index = || Raw::encode(Index::new(vec![entry("a"), entry("b"), attestation.clone()])).unwrap();
        let same = with_children(index(), &[entry("a"), entry("b"), entry("attestation")]).unwrap();
        assert_eq!(same.bytes(), index().bytes());
        let changed = with_children(index(), &[entry("a"), entry("b.gz"), entry("attestation")]).unwrap();
        let list = &changed.value().manifests;
        assert_eq!((list[0].digest, list[1].digest), (entry("a").digest, entry("b.gz").digest));
        assert_eq!(list[2].annotations[SUBJECT], entry("b.gz").digest.to_string());
    }
}
