//! OCI layouts as folders.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Raw, media_type};
use store::Expected;
use sys::Root;

use super::admit::{self, Found};
use super::{ImportError, MAX_DOCUMENT, Result, Target, blob, parse};

/// The annotation that names an image in a layout.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The one in which containerd and docker put the whole reference.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";
/// Indexes may list indexes; nobody nests deeper.
const MAX_NESTING: usize = 4;

struct Layout<'a> {
    dir: &'a Path,
    root: Root,
}

pub(super) fn import(target: &Target<'_>, dir: &Path, reference: Option<&str>, platform: &Platform) -> Result<Digest> {
    let root = Root::open(dir).map_err(|error| io(&error, dir.to_path_buf()))?;
    let layout = Layout { dir, root };
    let index: Raw<Index> = parse(layout.document("index.json", None)?, "index.json")?;
    let mut chosen = choose(&index.value().manifests, reference, platform)?;
    for _ in 0..MAX_NESTING {
        if !media_type::is_index(&chosen.media_type) {
            break;
        }
        let nested: Raw<Index> = layout.blob(&chosen)?;
        chosen = for_platform(&nested.value().manifests, platform)?;
    }
    let manifest: Raw<Manifest> = layout.blob(&chosen)?;
    let config: Raw<ImageConfig> = layout.blob(&manifest.value().config)?;
    let mut layers = Vec::new();
    for descriptor in &manifest.value().layers {
        layers.push(match admit::known(target, &descriptor.digest)? {
            Some(known) => known,
            None => {
                let mut file = layout.open(&blob_path(&descriptor.digest))?;
                let expected = Expected::exactly(descriptor.digest, descriptor.size);
                let name = descriptor.digest.to_string();
                Found::Fresh(blob::ingest(target.store, &mut file, &name, Some(expected))?)
            }
        });
    }
    admit::admit(target, &manifest, &config, &layers)
}

impl Layout<'_> {
    fn open(&self, path: &str) -> Result<File> {
        match self.root.open_regular(path) {
            Err(error) if error.is_not_found() => Err(ImportError::Missing { name: path.to_owned() }),
            other => other.map_err(|error| io(&error, self.dir.join(path))),
        }
    }

    fn document(&self, path: &str, size: Option<u64>) -> Result<Vec<u8>> {
        let file = self.open(path)?;
        let mut bytes = Vec::new();
        let limit = size.unwrap_or(MAX_DOCUMENT).min(MAX_DOCUMENT) + 1;
        file.take(limit).read_to_end(&mut bytes).map_err(|source| ImportError::Io {
            call: "read",
            path: self.dir.join(path),
            source,
        })?;
        match bytes.len() as u64 {
            size if size > MAX_DOCUMENT => Err(ImportError::TooLarge { name: path.to_owned(), size }),
            _ => Ok(bytes),
        }
    }

    /// A document by descriptor, verified.
    fn blob<T: serde::de::DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<Raw<T>> {
        let bytes = self.document(&blob_path(&descriptor.digest), Some(descriptor.size))?;
        check(&bytes, &descriptor.digest, Some(descriptor.size))?;
        parse(bytes, descriptor.digest)
    }
}

/// Whether bytes are what a descriptor says.
pub(super) fn check(bytes: &[u8], digest: &Digest, size: Option<u64>) -> Result<()> {
    let actual_size = bytes.len() as u64;
    if let Some(expected) = size.filter(|size| *size != actual_size) {
        return Err(store::blobs::Error::Size { expected, actual: actual_size }.into());
    }
    let mut hasher = oci::Hasher::new(digest.algorithm());
    hasher.update(bytes);
    match hasher.finish() {
        actual if actual == *digest => Ok(()),
        actual => Err(store::blobs::Error::Digest { expected: *digest, actual }.into()),
    }
}

/// Where a layout keeps a blob.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn io(error: &sys::Error, path: PathBuf) -> ImportError {
    ImportError::Io { call: error.call(), path, source: error.errno().into() }
}

/// The manifest that `reference` names.
fn choose(manifests: &[Descriptor], reference: Option<&str>, platform: &Platform) -> Result<Descriptor> {
    let Some(reference) = reference else {
        return for_platform(manifests, platform);
    };
    let names = |descriptor: &&Descriptor| {
        let named = |key| descriptor.annotations.get(key).is_some_and(|name| name == reference);
        descriptor.digest.to_string() == reference || named(REF_NAME) || named(IMAGE_NAME)
    };
    let named: Vec<Descriptor> = manifests.iter().filter(names).cloned().collect();
    match &named[..] {
        [] => Err(ImportError::Choice {
            what: format!("no image is called {reference:?}"),
            there: manifests.iter().map(describe).collect(),
        }),
        // One image under two names, or a tag and its own digest.
        [first, rest @ ..] if rest.iter().all(|other| other.digest == first.digest) => Ok(first.clone()),
        _ => for_platform(&named, platform),
    }
}

/// The one manifest, or the one for a platform.
pub(super) fn for_platform(manifests: &[Descriptor], platform: &Platform) -> Result<Descriptor> {
    let images = |descriptor: &&Descriptor| {
        media_type::is_manifest(&descriptor.media_type) || media_type::is_index(&descriptor.media_type)
    };
    let images: Vec<&Descriptor> = manifests.iter().filter(images).collect();
    if let [first, rest @ ..] = &images[..]
        && rest.iter().all(|other| other.digest == first.digest)
    {
        return Ok((*first).clone());
    }
    let fits =
        |descriptor: &&&Descriptor| descriptor.platform.as_ref().is_some_and(|offered| offered.matches(platform));
    images.iter().find(fits).map(|descriptor| (**descriptor).clone()).ok_or_else(|| ImportError::Choice {
        what: format!("no single image is for {platform}"),
        there: images.iter().map(|descriptor| describe(descriptor)).collect(),
    })
}

fn describe(descriptor: &Descriptor) -> String {
    let name = descriptor.annotations.get(IMAGE_NAME).or_else(|| descriptor.annotations.get(REF_NAME));
    let name = name.cloned().unwrap_or_else(|| descriptor.digest.to_string());
    match &descriptor.platform {
        Some(platform) => format!("{name} ({platform})"),
        None => name,
    }
}
