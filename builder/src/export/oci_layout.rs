//! OCI layouts: a folder, or the same in a tar. With docker's `manifest.json` beside its index, the tar is what `docker save`
//! writes since version 25, and old ones load it too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Raw, Reference, media_type};
use serde::Serialize;
use store::{Blobs, Store};

use super::bundle::Bundle;
use super::{ExportError, form, image, images, layers};
use crate::attest::{self, Became};
use crate::{Compress, Dress, Level};

/// The annotation that names an image in a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The one in which containerd and docker put the whole reference.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// What every layout says of itself.
const VERSION: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The largest manifest or config that is read into memory.
const MAX_DOCUMENT: u64 = 8 << 20;

/// An image and the names it goes out under.
pub(super) type Named = (Vec<Reference>, Digest);

/// One image in docker's `manifest.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Writes images as a layout; with `docker`, for docker too. An index goes with all the images that it lists.
pub(super) fn write(
    store: &Store,
    images: &[Named],
    how: &How<'_>,
    docker: bool,
    bundle: Bundle,
) -> Result<(), ExportError> {
    let mut writing = Writing { store, how, bundle, written: BTreeSet::new(), became: BTreeMap::new() };
    let mut descriptors = Vec::new();
    let mut docker_images = Vec::new();
    for (names, digest) in images {
        let bytes = store.blobs().read_bytes(digest, MAX_DOCUMENT)?;
        let (descriptor, image);
        (writing, descriptor, image) = match oci::is_index(&bytes) {
            true => writing.index(parse(*digest, bytes)?)?,
            false => writing.image(parse(*digest, bytes)?)?,
        };
        descriptors.extend(named(&descriptor, names, docker));
        let repo_tags = names.iter().filter(|name| name.tag().is_some()).map(Reference::familiar).collect();
        docker_images.extend(image.map(|image| DockerImage { repo_tags, ..image }));
    }
    let mut bundle = writing.bundle;
    bundle.bytes("oci-layout", VERSION.as_bytes())?;
    if docker {
        bundle.bytes("manifest.json", &json(&docker_images)?)?;
    }
    let index = match &bundle {
        Bundle::Folder { dir, .. } => merged(dir, descriptors)?,
        Bundle::Tar { .. } => Index::new(descriptors),
    };
    bundle.bytes("index.json", &json(&index)?)?;
    bundle.finish()
}

/// How images are written.
#[derive(Clone, Copy)]
pub(super) struct How<'h> {
    /// The form of layers.
    pub(super) compress: &'h Compress,
    /// What images say of themselves; `None`: what they say in the store.
    pub(super) dress: Option<&'h Dress>,
}

/// An archive being filled.
struct Writing<'w> {
    store: &'w Store,
    how: &'w How<'w>,
    bundle: Bundle,
    /// Members that are there.
    written: BTreeSet<String>,
    /// What images are in it.
    became: BTreeMap<Digest, Became>,
}

/// What went in: its descriptor, and the image that docker's own list shows.
type Written<'w> = (Writing<'w>, Descriptor, Option<DockerImage>);

impl<'w> Writing<'w> {
    /// An image: its layers, in the form that is asked for, its configuration and its manifest.
    fn image(mut self, manifest: Raw<Manifest>) -> Result<Written<'w>, ExportError> {
        let config: Raw<ImageConfig> = document(self.store, &manifest.value().config.digest)?;
        let layers = layers::prepare(self.store, manifest.value(), config.value(), self.how.compress)?;
        let platform = config.value().platform();
        let own = manifest.digest();
        let (manifest, config) = with_layers(manifest, config, &layers)?;
        let manifest = self.dressed(manifest, &platform)?;
        self.became.insert(own, Became { digest: manifest.digest(), layers: manifest.value().layers.clone() });
        for layer in &layers {
            self = self.layer(layer)?;
        }
        self.document(&config.digest(), config.bytes())?;
        self.document(&manifest.digest(), manifest.bytes())?;
        let media_type = manifest.value().media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        let mut descriptor = Descriptor::new(media_type, manifest.digest(), manifest.size());
        if let Some(dress) = self.how.dress {
            descriptor.annotations = dress.at(Level::ManifestDescriptor, Some(&platform));
        }
        descriptor.platform = Some(platform);
        let image = DockerImage {
            config: blob_path(&config.digest()),
            repo_tags: Vec::new(),
            layers: layers.iter().map(|layer| blob_path(&layer.descriptor.digest)).collect(),
        };
        Ok((self, descriptor, Some(image)))
    }

    /// An index with what it lists. Docker's list shows the image for this machine, or else the first one.
    fn index(mut self, index: Raw<Index>) -> Result<Written<'w>, ExportError> {
        let (mut children, mut shown) = (Vec::new(), Vec::new());
        for child in &index.value().manifests {
            let attested = attest::retargeted(self.store, child, &self.became)
                .map_err(|source| ExportError::Attestation { digest: child.digest, source })?;
            if let Some(attested) = attested {
                for (digest, bytes) in attested.documents() {
                    self.document(&digest, bytes)?;
                }
                children.push(attested.descriptor());
                continue;
            }
            let bytes = self.store.blobs().read_bytes(&child.digest, MAX_DOCUMENT)?;
            let is_image = child.platform.as_ref().is_none_or(|platform| platform.os != "unknown");
            let (descriptor, image);
            (self, descriptor, image) = match (oci::is_index(&bytes), is_image) {
                (true, _) => self.index(parse(child.digest, bytes)?)?,
                (false, true) => self.image(parse(child.digest, bytes)?)?,
                (false, false) => self.artifact(parse(child.digest, bytes)?)?,
            };
            shown.extend(image.map(|image| (child.platform.clone().unwrap_or_else(Platform::host), image)));
            let became = || Became { digest: descriptor.digest, layers: Vec::new() };
            self.became.entry(child.digest).or_insert_with(became);
            children.push(descriptor);
        }
        let index = images::with_children(index, &children).and_then(|index| match self.how.dress {
            Some(dress) => {
                let mut changed = index.into_value();
                changed.annotations.clear();
                for (entry, child) in changed.manifests.iter_mut().zip(&children) {
                    if child.platform.is_some() {
                        entry.annotations.clone_from(&child.annotations);
                    }
                }
                images::dress_index(&mut changed, dress);
                Raw::encode(changed)
            }
            None => Ok(index),
        });
        let index = index.map_err(|source| ExportError::Document { name: "the index".to_owned(), source })?;
        self.document(&index.digest(), index.bytes())?;
        let media_type = index.value().media_type.as_deref().unwrap_or(media_type::OCI_INDEX);
        let mut descriptor = Descriptor::new(media_type, index.digest(), index.size());
        if let Some(dress) = self.how.dress {
            descriptor.annotations = dress.at(Level::IndexDescriptor, None);
        }
        let at = Platform::host().best_of(shown.iter().map(|(platform, _)| platform)).unwrap_or(0);
        let image = if shown.is_empty() { None } else { Some(shown.swap_remove(at).1) };
        Ok((self, descriptor, image))
    }

    /// What says something of an image: exactly as it is.
    fn artifact(mut self, manifest: Raw<Manifest>) -> Result<Written<'w>, ExportError> {
        for blob in std::iter::once(&manifest.value().config).chain(&manifest.value().layers) {
            let bytes = self.store.blobs().read_bytes(&blob.digest, MAX_DOCUMENT)?;
            self.document(&blob.digest, &bytes)?;
        }
        self.document(&manifest.digest(), manifest.bytes())?;
        let media_type = manifest.value().media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        Ok((self, Descriptor::new(media_type, manifest.digest(), manifest.size()), None))
    }

    /// A manifest that says of itself what this output asks for, and nothing else.
    fn dressed(&self, manifest: Raw<Manifest>, platform: &Platform) -> Result<Raw<Manifest>, ExportError> {
        let Some(dress) = self.how.dress else { return Ok(manifest) };
        let mut changed = manifest.value().clone();
        changed.annotations.clear();
        image::dress(&mut changed, dress, platform);
        match changed == *manifest.value() {
            true => Ok(manifest),
            false => encoded(changed),
        }
    }

    fn layer(mut self, layer: &layers::Layer) -> Result<Self, ExportError> {
        let path = blob_path(&layer.descriptor.digest);
        if self.written.insert(path.clone()) && !self.bundle.has(&path, layer.descriptor.size) {
            self.bundle.begin(&path, layer.descriptor.size)?;
            self.bundle = layer.write_to(self.store, self.bundle)?;
            self.bundle.end()?;
        }
        Ok(self)
    }

    fn document(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), ExportError> {
        match self.written.insert(blob_path(digest)) {
            true => self.bundle.bytes(&blob_path(digest), bytes),
            false => Ok(()),
        }
    }
}

/// The manifest with the layers that are written, where they are not its own, and the configuration with their DiffIds.
pub(crate) fn with_layers(
    manifest: Raw<Manifest>,
    config: Raw<ImageConfig>,
    layers: &[layers::Layer],
) -> Result<(Raw<Manifest>, Raw<ImageConfig>), ExportError> {
    let same = |(own, layer): (&Descriptor, &layers::Layer)| own.digest == layer.descriptor.digest;
    if manifest.value().layers.iter().zip(layers).all(same) {
        return Ok((manifest, config));
    }
    let diff_ids: Vec<_> = layers.iter().map(layers::Layer::diff_id).collect();
    let config = match config.value().rootfs.diff_ids == diff_ids {
        true => config,
        false => {
            let mut changed = config.into_value();
            changed.rootfs.diff_ids = diff_ids;
            encoded(changed)?
        }
    };
    let own = Descriptor::new(media_type::OCI_CONFIG, config.digest(), config.size());
    let mut changed = Manifest::new(own, layers.iter().map(|layer| layer.descriptor.clone()).collect());
    changed.annotations.clone_from(&manifest.value().annotations);
    form::settle_types(&mut changed, manifest.value().media_type.as_deref().unwrap_or_default());
    Ok((encoded(changed)?, config))
}

fn encoded<T: Serialize>(document: T) -> Result<Raw<T>, ExportError> {
    Raw::encode(document).map_err(|source| ExportError::Document { name: "the manifest".to_owned(), source })
}

/// One descriptor a name.
fn named(plain: &Descriptor, names: &[Reference], docker: bool) -> Vec<Descriptor> {
    let named = names.iter().map(|name| {
        let mut descriptor = plain.clone();
        let tag = name.tag().map_or("latest", |tag| tag.as_str());
        descriptor.annotations.insert(IMAGE_NAME.to_owned(), name.to_string());
        // Tools that read layouts choose by this one: docker's readers expect the tag, the others what a user would type.
        let short = if docker { tag.to_owned() } else { name.familiar() };
        descriptor.annotations.insert(REF_NAME.to_owned(), short);
        descriptor
    });
    let named: Vec<Descriptor> = named.collect();
    if named.is_empty() { vec![plain.clone()] } else { named }
}

/// The index of a folder that may be a layout already: its other images stay.
fn merged(dir: &Path, descriptors: Vec<Descriptor>) -> Result<Index, ExportError> {
    let path = dir.join("index.json");
    let mut index = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Index::new(descriptors)),
        Err(error) => return Err(ExportError::io("read", &path, error)),
        Ok(bytes) => Raw::<Index>::parse(bytes)
            .map_err(|source| ExportError::Document { name: path.display().to_string(), source })?
            .into_value(),
    };
    let name = |descriptor: &Descriptor| descriptor.annotations.get(REF_NAME).cloned();
    let replaced = |old: &Descriptor| {
        descriptors.iter().any(|new| name(new) == name(old) && (name(old).is_some() || new.digest == old.digest))
    };
    index.manifests.retain(|old| !replaced(old));
    index.manifests.extend(descriptors);
    Ok(index)
}

fn document<T: serde::de::DeserializeOwned>(store: &Store, digest: &Digest) -> Result<Raw<T>, ExportError> {
    parse(*digest, store.blobs().read_bytes(digest, MAX_DOCUMENT)?)
}

fn parse<T: serde::de::DeserializeOwned>(digest: Digest, bytes: Vec<u8>) -> Result<Raw<T>, ExportError> {
    Raw::parse(bytes).map_err(|source| ExportError::Document { name: digest.to_string(), source })
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, ExportError> {
    serde_json::to_vec(value).map_err(|source| ExportError::Json { source })
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}
