//! Artifacts: files that refer to an image, as a manifest with a `subject`.
//! Specification: OCI image-spec, manifest.md, "Guidelines for Artifact Usage"; distribution-spec, "Pushing Manifests with
//! Subject".

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci::{Descriptor, Digest, Hasher, Manifest, Platform, Reference, media_type};
use remote::{BytesSource, Client, FileSource, How, Reference as Named, Source, Told, UploadOptions};

use super::document::{Document, Parsed};
use super::source::Registry;
use super::{CopyError, fallback, milliseconds};
use crate::transfer::{Direction, Event, Item, ItemKind, Sink, Step};

/// What an artifact's configuration is: nothing.
const EMPTY: &[u8] = b"{}";
/// The same in base64, as descriptors may carry it.
const EMPTY_DATA: &str = "e30=";
/// The annotation that names a file.
const TITLE: &str = "org.opencontainers.image.title";
/// One read of a file.
const READ: usize = 1 << 20;

/// What is to be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The kind of artifact.
    pub artifact_type: String,
    /// Its files, each with its media type.
    pub files: Vec<(PathBuf, String)>,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// Of an index the image for this platform, and not the index.
    pub platform: Option<Platform>,
}

/// What was attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The artifact's manifest.
    pub descriptor: Descriptor,
    /// What it refers to.
    pub subject: Descriptor,
    /// Bytes that moved.
    pub moved: u64,
    /// The tag that lists it, where the registry keeps no list of referrers.
    pub listed_by_tag: Option<oci::Tag>,
}

/// Attaches files to an image of a registry.
///
/// # Errors
/// See [`CopyError`].
pub async fn attach(
    client: &Client,
    subject: &Reference,
    attachment: &Attachment,
    sink: &Sink,
) -> Result<Attached, CopyError> {
    let registry = Registry::new(client, subject.clone())?;
    let repository = registry.itself().clone();
    let subject = subject_of(&registry, subject, attachment.platform.as_ref()).await?;
    sink(Event::Begun { direction: Direction::Push, what: repository.name().to_string(), time: milliseconds() });
    let empty = empty();
    let mut sources: Vec<(ItemKind, Box<dyn Source>)> = Vec::new();
    let mut layers = Vec::new();
    for (path, kind) in &attachment.files {
        let (layer, source) = layer(path, kind).await?;
        layers.push(layer);
        sources.push((ItemKind::Layer, Box::new(source)));
    }
    if layers.is_empty() {
        layers.push(empty.clone());
    }
    let config = BytesSource::new(empty.digest, bytes::Bytes::from_static(EMPTY));
    sources.push((ItemKind::Config, Box::new(config)));
    let mut moved = 0;
    for (number, (kind, source)) in (0..).zip(&sources) {
        moved += send(&repository, (number, *kind), &**source, sink).await?;
    }
    let mut manifest = Manifest::new(empty, layers);
    manifest.artifact_type = Some(attachment.artifact_type.clone());
    manifest.annotations.clone_from(&attachment.annotations);
    manifest.subject = Some(subject.clone());
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|error| CopyError::Document { digest: subject.digest, problem: error.to_string() })?;
    let document = Document::made(bytes, media_type::OCI_MANIFEST);
    let put =
        repository.put_manifest(&Named::Digest(&document.digest), &document.media_type, document.bytes.clone()).await?;
    moved += document.bytes.len() as u64;
    let mut listed_by_tag = None;
    if !put.subject {
        fallback::add(&repository, &subject.digest, &document).await?;
        listed_by_tag = Some(fallback::tag(&subject.digest)?);
    }
    sink(Event::Finished { digest: document.digest, moved, time: milliseconds() });
    Ok(Attached { descriptor: document.descriptor(), subject, moved, listed_by_tag })
}

/// The descriptor of what is referred to.
async fn subject_of(
    registry: &Registry,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Descriptor, CopyError> {
    let top = registry.top().await?;
    let Some(platform) = platform else { return Ok(top.descriptor()) };
    match top.parse()? {
        Parsed::Image(_) => Ok(top.descriptor()),
        Parsed::Index(index) => {
            let child = super::carry::for_platform(&index, Some(platform), &reference.to_string())?;
            Ok(Descriptor::new(&child.media_type, child.digest, child.size))
        }
    }
}

fn empty() -> Descriptor {
    let mut empty = Descriptor::new(media_type::OCI_EMPTY, Digest::sha256(EMPTY), EMPTY.len() as u64);
    empty.data = Some(EMPTY_DATA.to_owned());
    empty
}

async fn layer(path: &Path, kind: &str) -> Result<(Descriptor, FileSource), CopyError> {
    let owned = path.to_path_buf();
    let hashed =
        tokio::task::spawn_blocking(move || hash(&owned).map_err(|error| CopyError::io("read", &owned, error)));
    let (digest, size) = hashed.await.map_err(|error| CopyError::lost(&error))??;
    let mut descriptor = Descriptor::new(kind, digest, size);
    let title = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    descriptor.annotations.insert(TITLE.to_owned(), title);
    Ok((descriptor, FileSource::new(path.to_path_buf(), digest, size)))
}

fn hash(path: &Path) -> io::Result<(Digest, u64)> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut hasher = Hasher::sha256();
    let mut buffer = vec![0; READ];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    let size = hasher.size();
    Ok((hasher.finish(), size))
}

async fn send(
    repository: &remote::Repository,
    (number, kind): (u32, ItemKind),
    source: &dyn Source,
    sink: &Sink,
) -> Result<u64, CopyError> {
    let known = source.known();
    if let Some((digest, size)) = known {
        sink(Event::Items { items: vec![Item { number, kind, digest, size: Some(size) }] });
    }
    let say = |step| sink(Event::Item { number, step });
    let told = |what: Told| match what {
        Told::Resumed(at) => say(Step::Resumed { at }),
        Told::Moved(done) => say(Step::Moved { done, total: known.map(|(_, size)| size) }),
        Told::Retried(why) => say(Step::Retried { why }),
    };
    let uploaded = repository.upload(source, &UploadOptions::default(), &told).await?;
    match uploaded.how {
        How::Existed => say(Step::Exists),
        How::Mounted(from) => say(Step::Mounted { from: from.map(|name| name.to_string()) }),
        How::Sent => say(Step::Done { moved: uploaded.sent, digest: uploaded.digest }),
    }
    Ok(uploaded.sent)
}
