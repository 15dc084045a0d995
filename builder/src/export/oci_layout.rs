//! OCI layouts: a folder, or the same in a tar. With docker's `manifest.json` beside its index, the tar is what `docker save`
//! writes since version 25, and old ones load it too.

use std::path::Path;

use oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Raw, Reference, media_type};
use serde::Serialize;
use store::{Blobs, Store};

use super::bundle::Bundle;
use super::{ExportError, layers};
use crate::Compress;

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

/// Writes images as a layout; with `docker`, for docker too.
pub(super) fn write(
    store: &Store,
    images: &[Named],
    compress: &Compress,
    docker: bool,
    mut bundle: Bundle,
) -> Result<(), ExportError> {
    let mut descriptors = Vec::new();
    let mut docker_images = Vec::new();
    let mut written = std::collections::BTreeSet::new();
    for (names, digest) in images {
        let manifest: Raw<Manifest> = document(store, digest)?;
        let config: Raw<ImageConfig> = document(store, &manifest.value().config.digest)?;
        let layers = layers::prepare(store, manifest.value(), config.value(), compress)?;
        let manifest = with_layers(manifest, &layers)?;
        for layer in &layers {
            let path = blob_path(&layer.descriptor.digest);
            if written.insert(path.clone()) && !bundle.has(&path, layer.descriptor.size) {
                bundle.begin(&path, layer.descriptor.size)?;
                bundle = layer.write_to(store, bundle)?;
                bundle.end()?;
            }
        }
        for (digest, bytes) in [(config.digest(), config.bytes()), (manifest.digest(), manifest.bytes())] {
            if written.insert(blob_path(&digest)) {
                bundle.bytes(&blob_path(&digest), bytes)?;
            }
        }
        descriptors.extend(describe(&manifest, config.value(), names, docker));
        docker_images.push(DockerImage {
            config: blob_path(&config.digest()),
            repo_tags: names.iter().filter(|name| name.tag().is_some()).map(Reference::familiar).collect(),
            layers: layers.iter().map(|layer| blob_path(&layer.descriptor.digest)).collect(),
        });
    }
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

/// The manifest with the layers that are written, where they are not its own.
pub(crate) fn with_layers(manifest: Raw<Manifest>, layers: &[layers::Layer]) -> Result<Raw<Manifest>, ExportError> {
    let same = |(own, layer): (&Descriptor, &layers::Layer)| own.digest == layer.descriptor.digest;
    if manifest.value().layers.iter().zip(layers).all(same) {
        return Ok(manifest);
    }
    let config = &manifest.value().config;
    let config = Descriptor::new(media_type::OCI_CONFIG, config.digest, config.size);
    let mut changed = Manifest::new(config, layers.iter().map(|layer| layer.descriptor.clone()).collect());
    changed.annotations.clone_from(&manifest.value().annotations);
    Raw::encode(changed).map_err(|source| ExportError::Document { name: "the manifest".to_owned(), source })
}

/// One descriptor a name.
fn describe(manifest: &Raw<Manifest>, config: &ImageConfig, names: &[Reference], docker: bool) -> Vec<Descriptor> {
    let media_type = manifest.value().media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
    let mut plain = Descriptor::new(media_type, manifest.digest(), manifest.size());
    plain.platform = Some(config.platform());
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
    if named.is_empty() { vec![plain] } else { named }
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
    let bytes = store.blobs().read_bytes(digest, MAX_DOCUMENT)?;
    Raw::parse(bytes).map_err(|source| ExportError::Document { name: digest.to_string(), source })
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, ExportError> {
    serde_json::to_vec(value).map_err(|source| ExportError::Json { source })
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}
