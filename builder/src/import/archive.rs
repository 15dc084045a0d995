//! Archives: an OCI layout in a tar, and both forms of `docker save`. Members come in any order, so blobs are stored as they
//! pass, and documents are kept until the end.

use std::collections::BTreeMap;
use std::io::Read;

use layer::{Compression, Kind, TarReader, WhiteoutNames};
use oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Raw, Reference, media_type};
use serde::Deserialize;
use store::Expected;

use super::admit::{self, Found};
use super::blob::{Ingested, failure, ingest};
use super::layout::{IMAGE_NAME, REF_NAME, blob_path, check, for_platform};
use super::{ImportError, MAX_DOCUMENT, Result, Target, encode, parse};

/// No tar is shorter than its two blocks of zeros.
const SHORTEST_TAR: u64 = 1024;
/// Where every tar in use has its magic number.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;
/// Documents and names that one archive may have.
const MAX_DOCUMENTS: usize = 100_000;
/// Links of one archive that lead to one another.
const MAX_LINKS: usize = 8;

type Names = Vec<(Vec<Reference>, Digest)>;

/// One image in `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// What an archive held.
struct Archive<'s> {
    target: &'s Target<'s>,
    documents: BTreeMap<String, Vec<u8>>,
    blobs: BTreeMap<String, Found>,
    links: BTreeMap<String, String>,
}

pub(super) fn import(target: &Target<'_>, stream: Box<dyn Read + Send>) -> Result<Names> {
    let (_, plain) =
        Compression::detecting(stream).map_err(|error| failure("the archive", std::io::Error::other(error)))?;
    let mut archive = Archive { target, documents: BTreeMap::new(), blobs: BTreeMap::new(), links: BTreeMap::new() };
    let mut tar = TarReader::new(plain).whiteout_names(WhiteoutNames::Plain);
    while let Some((entry, mut content)) = tar.next_entry()? {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        match entry.kind {
            Kind::File => archive.member(path, entry.size, &mut content)?,
            Kind::Symlink => drop(archive.links.insert(path.clone(), beside(&path, &entry.link))),
            Kind::Hardlink => drop(archive.links.insert(path, String::from_utf8_lossy(&entry.link).into_owned())),
            Kind::Dir | Kind::Char | Kind::Block | Kind::Fifo | Kind::Whiteout | Kind::Opaque => {}
        }
        if archive.documents.len() + archive.links.len() > MAX_DOCUMENTS {
            return Err(ImportError::TooLarge { name: "the archive".to_owned(), size: MAX_DOCUMENTS as u64 });
        }
    }
    tar.finish()?;
    if archive.documents.contains_key("index.json") {
        return archive.oci();
    }
    if archive.documents.contains_key("manifest.json") {
        return archive.docker();
    }
    Err(ImportError::NoImage)
}

impl Archive<'_> {
    fn member(&mut self, path: String, size: u64, content: &mut (impl Read + Send)) -> Result<()> {
        let mut start = Vec::new();
        content.take(6).read_to_end(&mut start).map_err(|error| failure(&path, error))?;
        let json = matches!(start.first(), Some(b'{' | b'[')) && size <= MAX_DOCUMENT;
        let tiny = size < SHORTEST_TAR && Compression::detect(&start) == Compression::None;
        if json || tiny {
            content.read_to_end(&mut start).map_err(|error| failure(&path, error))?;
        }
        // The first file of a layer may be called `[`.
        if (json || tiny) && start.get(TAR_MAGIC) != Some(b"ustar") {
            if let Some(digest) = digest_of(&path) {
                check(&start, &digest, None)?;
            }
            self.documents.insert(path, start);
            return Ok(());
        }
        let digest = digest_of(&path);
        let known = digest.map(|digest| admit::known(self.target, &digest)).transpose()?.flatten();
        let found = match known {
            Some(known) => known,
            None => {
                let mut whole = std::io::Cursor::new(start).chain(content);
                Found::Fresh(ingest(self.target.store, &mut whole, &path, digest.map(Expected::from))?)
            }
        };
        self.blobs.insert(path, found);
        Ok(())
    }

    /// The name that a path leads to.
    fn resolve<'a>(&'a self, path: &'a str) -> &'a str {
        let mut path = path.strip_prefix("./").unwrap_or(path);
        for _ in 0..MAX_LINKS {
            match self.links.get(path) {
                Some(target) => path = target,
                None => break,
            }
        }
        path
    }

    fn document(&self, path: &str) -> Result<Vec<u8>> {
        let found = self.documents.get(self.resolve(path)).cloned();
        found.ok_or_else(|| ImportError::Missing { name: path.to_owned() })
    }

    fn blob(&self, path: &str) -> Result<Found> {
        let found = self.blobs.get(self.resolve(path)).cloned();
        found.ok_or_else(|| ImportError::Missing { name: path.to_owned() })
    }

    fn described<T: serde::de::DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<Raw<T>> {
        let bytes = self.document(&blob_path(&descriptor.digest))?;
        check(&bytes, &descriptor.digest, Some(descriptor.size))?;
        parse(bytes, descriptor.digest)
    }

    fn oci(&self) -> Result<Names> {
        let index: Raw<Index> = parse(self.document("index.json")?, "index.json")?;
        let tags = self.docker_tags()?;
        let mut images: Names = Vec::new();
        for descriptor in &index.value().manifests {
            let mut chosen = descriptor.clone();
            if media_type::is_index(&chosen.media_type) {
                let nested: Raw<Index> = self.described(&chosen)?;
                chosen = for_platform(&nested.value().manifests, &Platform::host())?;
            }
            if !media_type::is_manifest(&chosen.media_type) {
                continue;
            }
            let manifest: Raw<Manifest> = self.described(&chosen)?;
            let config: Raw<ImageConfig> = self.described(&manifest.value().config)?;
            let layers = manifest.value().layers.iter().map(|layer| self.described_layer(layer));
            let digest = admit::admit(self.target, &manifest, &config, &layers.collect::<Result<Vec<_>>>()?)?;
            let mut names = names_of(descriptor);
            if names.is_empty() {
                names.extend(tags.get(&config.digest()).into_iter().flatten().cloned());
            }
            match images.iter_mut().find(|(_, known)| *known == digest) {
                Some((known, _)) => known.extend(names),
                None => images.push((names, digest)),
            }
        }
        for (names, _) in &mut images {
            names.sort_by_key(ToString::to_string);
            names.dedup();
        }
        Ok(images)
    }

    fn described_layer(&self, descriptor: &Descriptor) -> Result<Found> {
        let found = self.blob(&blob_path(&descriptor.digest))?;
        match &found {
            Found::Fresh(ingested) if ingested.size != descriptor.size => {
                Err(store::blobs::Error::Size { expected: descriptor.size, actual: ingested.size }.into())
            }
            Found::Fresh(_) | Found::Known { .. } => Ok(found),
        }
    }

    /// What the docker half of a new `docker save` calls its images, by config.
    fn docker_tags(&self) -> Result<BTreeMap<Digest, Vec<Reference>>> {
        let Some(bytes) = self.documents.get("manifest.json") else { return Ok(BTreeMap::new()) };
        let images: Raw<Vec<DockerImage>> = parse(bytes.clone(), "manifest.json")?;
        let tagged = images.value().iter().filter_map(|image| {
            Some((digest_of(&image.config)?, references(image.repo_tags.as_deref().unwrap_or_default())))
        });
        Ok(tagged.collect())
    }

    fn docker(&self) -> Result<Names> {
        let images: Raw<Vec<DockerImage>> = parse(self.document("manifest.json")?, "manifest.json")?;
        let mut admitted = Vec::new();
        for image in images.value() {
            let bytes = self.document(&image.config)?;
            let config: Raw<ImageConfig> = parse(bytes, &image.config)?;
            if digest_of(&image.config).is_some_and(|named| named != config.digest()) {
                return Err(ImportError::Name { name: image.config.clone(), actual: config.digest() });
            }
            let paths = image.layers.as_deref().unwrap_or_default();
            let layers = paths.iter().map(|path| self.blob(path)).collect::<Result<Vec<_>>>()?;
            let descriptors = layers.iter().map(|layer| self.describe(layer)).collect::<Result<Vec<_>>>()?;
            let descriptor = Descriptor::new(media_type::OCI_CONFIG, config.digest(), config.size());
            let manifest = encode(Manifest::new(descriptor, descriptors))?;
            let digest = admit::admit(self.target, &manifest, &config, &layers)?;
            admitted.push((references(image.repo_tags.as_deref().unwrap_or_default()), digest));
        }
        Ok(admitted)
    }

    fn describe(&self, layer: &Found) -> Result<Descriptor> {
        match layer {
            Found::Fresh(ingested) => describe_fresh(ingested),
            Found::Known { digest, .. } => {
                let row = self.target.store.index().layer_by_blob(digest)?;
                let blob =
                    row.and_then(|row| row.blob).ok_or_else(|| ImportError::Missing { name: digest.to_string() })?;
                Ok(Descriptor::new(blob.media_type, blob.digest, blob.size))
            }
        }
    }
}

fn describe_fresh(ingested: &Ingested) -> Result<Descriptor> {
    Ok(Descriptor::new(ingested.scanned()?.media_type(), ingested.digest, ingested.size))
}

/// The digest that a member's name states: `blobs/sha256/<hex>`, and `<hex>.json` for a config.
fn digest_of(path: &str) -> Option<Digest> {
    let (algorithm, hex) = match path.strip_prefix("blobs/") {
        Some(rest) => rest.split_once('/')?,
        None => ("sha256", path.strip_suffix(".json")?),
    };
    format!("{algorithm}:{hex}").parse().ok()
}

fn references(tags: &[String]) -> Vec<Reference> {
    tags.iter().filter_map(|tag| tag.parse().ok()).collect()
}

/// Docker puts the whole reference in its own annotation and the bare tag in the standard's.
fn names_of(descriptor: &Descriptor) -> Vec<Reference> {
    let name = descriptor.annotations.get(IMAGE_NAME).or_else(|| descriptor.annotations.get(REF_NAME));
    name.and_then(|name| name.parse().ok()).into_iter().collect()
}

/// Where a symbolic link at `path` leads, within the archive.
fn beside(path: &str, link: &[u8]) -> String {
    let link = String::from_utf8_lossy(link);
    let mut parts: Vec<&str> = match link.starts_with('/') {
        true => Vec::new(),
        false => path.split('/').collect(),
    };
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
