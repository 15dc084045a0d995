//! One manifest: platforms of an index, layers of an image and the commands that made them, what refers to it.

use std::io::Read;

use maud::{Markup, html};
use oci::{Descriptor, Digest, RepositoryName, Tag, media_type};

use super::document::{Document, word_for};
use super::figure;
use super::image::ImageFacts;
use super::place::Place;
use super::pull::Host;
use super::shell::Sheet;
use super::text::{cell, cut};
use super::{blobs, facts};
use crate::metadata::{BlobRow, ManifestRow, Metadata, Page};
use crate::storage::Objects;
use crate::time::Instant;

/// Longest manifest or configuration that is read for a page.
pub(crate) const READ_LIMIT: u64 = 4 << 20;
/// Rows of a table on this page.
pub(crate) const ROWS: usize = 200;

/// A manifest and what is around it.
pub(crate) struct ManifestView {
    repository: RepositoryName,
    row: ManifestRow,
    /// Where the reader came from.
    tag: Option<Tag>,
    document: Result<Document, &'static str>,
    /// The configuration, where there is one that can be read.
    image: Option<ImageFacts>,
    referrers: Vec<Descriptor>,
    /// Signatures and the like by cosign's naming of tags.
    companions: Vec<Tag>,
}

/// What reading a page can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// What is known could not be read.
    #[error(transparent)]
    Metadata(#[from] crate::metadata::Error),
    /// Bytes could not be read.
    #[error(transparent)]
    Storage(#[from] crate::storage::Error),
    /// Bytes of an object could not be read.
    #[error("read {0}: {1}")]
    Read(Digest, std::io::Error),
}

impl ManifestView {
    /// Reads it; `None` where the repository does not hold it.
    pub(crate) fn read(
        metadata: &dyn Metadata,
        objects: &dyn Objects,
        repository: &RepositoryName,
        digest: &Digest,
        tag: Option<Tag>,
    ) -> Result<Option<Self>, ReadError> {
        let Some(row) = metadata.manifest(repository, digest)? else { return Ok(None) };
        let document = match bounded(objects, &row.blob)? {
            None => Err("This manifest is too large to be shown."),
            Some(bytes) => Document::parse(&bytes).ok_or("This manifest has a form that cannot be shown."),
        };
        let image = match &document {
            Ok(Document::Single(manifest)) if media_type::is_config(&manifest.config.media_type) => {
                read_config(metadata, objects, repository, &manifest.config.digest)?
            }
            _ => None,
        };
        let referrers = metadata.referrers(repository, digest, None, Page { after: None, limit: ROWS })?;
        let companions = companions(metadata, repository, digest)?;
        Ok(Some(Self { repository: repository.clone(), row, tag, document, image, referrers, companions }))
    }

    /// The page.
    pub(crate) fn sheet(&self, host: &Host, now: Instant) -> Sheet {
        let digest = self.row.blob.digest;
        let content = html! {
            h1 { (self.repository.as_str()) span.at { "@" (digest.short()) } }
            (self.summary(now))
            (host.pull_digest(&self.repository, &digest))
            @match &self.document {
                Err(why) => p.empty { (why) },
                Ok(document) => (self.content(document)),
            }
            (self.referring())
        };
        let mut above = vec![
            (Place::Home, "Repositories".to_owned()),
            (Place::Repository(self.repository.clone()), self.repository.as_str().to_owned()),
        ];
        if let Some(tag) = &self.tag {
            above.push((Place::Tag(self.repository.clone(), tag.clone()), tag.as_str().to_owned()));
        }
        Sheet { title: format!("{}@{}", self.repository.as_str(), digest.short()), above, content }
    }

    fn summary(&self, now: Instant) -> Markup {
        let kind = match &self.document {
            Ok(Document::Several(_)) => "Index",
            Ok(document @ Document::Single(_)) => document.artifact_type().map_or("Image", word_for),
            Err(_) => "Manifest",
        };
        let platform = self.image.as_ref().map(ImageFacts::platform).filter(|text| !text.is_empty());
        let raw = format!("/v2/{}/manifests/{}", self.repository.as_str(), self.row.blob.digest);
        html! {
            dl.facts {
                div { dt { "Kind" } dd { (kind) } }
                @if let Some(platform) = &platform { div { dt { "Platform" } dd { (cell(platform)) } } }
                @if let Some(size) = self.size() { div { dt { "Size" } dd { (figure::size(size)) } } }
                div { dt { "Pushed" } dd { (figure::moment(self.row.created, now)) } }
            }
            dl.lines {
                div { dt { "Digest" } dd { code.whole { (self.row.blob.digest) } } }
                div { dt { "Media type" } dd { code { (cell(&self.row.media_type)) } } }
                @if let Some(kind) = &self.row.artifact_type {
                    @if !media_type::is_config(kind) { div { dt { "Artifact type" } dd { code { (cell(kind)) } } } }
                }
                @if let Some(subject) = self.row.subject {
                    div { dt { "Refers to" } dd { (link(&self.repository, &subject)) } }
                }
                div { dt { "As stored" } dd { a href=(raw) { "JSON, " (figure::size(self.row.blob.size)) } } }
            }
        }
    }

    /// Bytes of an image or artifact with its manifest.
    fn size(&self) -> Option<u64> {
        let Ok(Document::Single(manifest)) = &self.document else { return None };
        let parts = manifest.layers.iter().chain([&manifest.config]);
        Some(parts.fold(self.row.blob.size, |sum, part| sum.saturating_add(part.size)))
    }

    fn content(&self, document: &Document) -> Markup {
        html! {
            @match document {
                Document::Several(index) => (self.platforms(&index.manifests)),
                Document::Single(manifest) => {
                    @match &self.image {
                        Some(image) => { (blobs::layers(&manifest.layers, &image.steps(manifest.layers.len()))) (facts::start(image)) },
                        None if media_type::is_config(&manifest.config.media_type) => {
                            p.empty { "The configuration is not here, or cannot be read: what made the layers is not known." }
                            (blobs::layers(&manifest.layers, &ImageFacts::default().steps(manifest.layers.len())))
                        },
                        None => (blobs::files(manifest)),
                    }
                },
            }
            (facts::pairs("annotations", "Annotations", document.annotations()))
        }
    }

    fn platforms(&self, manifests: &[Descriptor]) -> Markup {
        html! {
            section aria-labelledby="platforms" {
                h2 #platforms { "Platforms" }
                table.list {
                    thead { tr {
                        th scope="col" { "Platform" }
                        th scope="col" { "Manifest" }
                        th.number scope="col" { "Manifest’s size" }
                    } }
                    tbody {
                        @for entry in manifests.iter().take(ROWS) {
                            tr {
                                th scope="row" { (platform(entry)) }
                                td { (link(&self.repository, &entry.digest)) }
                                td.number { (figure::size(entry.size)) }
                            }
                        }
                    }
                }
                (rest(manifests.len()))
            }
        }
    }

    fn referring(&self) -> Markup {
        html! {
            @if !self.referrers.is_empty() || !self.companions.is_empty() {
                section aria-labelledby="referrers" {
                    h2 #referrers { "Referrers" }
                    table.list {
                        thead { tr {
                            th scope="col" { "Kind" }
                            th scope="col" { "Manifest" }
                            th.wide scope="col" { "Type" }
                            th.number scope="col" { "Size" }
                        } }
                        tbody {
                            @for entry in &self.referrers {
                                @let kind = entry.artifact_type.as_deref().unwrap_or(&entry.media_type);
                                tr {
                                    th scope="row" { (word_for(kind)) }
                                    td { (link(&self.repository, &entry.digest)) }
                                    td.wide { code { (cut(kind, 100)) } }
                                    td.number { (figure::size(entry.size)) }
                                }
                            }
                            @for tag in &self.companions {
                                tr {
                                    th scope="row" { (companion_word(tag)) }
                                    td { a.digest href=(Place::Tag(self.repository.clone(), tag.clone())) { (cut(tag.as_str(), 20)) } }
                                    td.wide { "by its tag" }
                                    td {}
                                }
                            }
                        }
                    }
                    @if self.referrers.len() == ROWS { p.dim { "There may be more: the referrers API lists them all." } }
                }
            }
        }
    }
}

/// A manifest of the same repository.
fn link(repository: &RepositoryName, digest: &Digest) -> Markup {
    html! { a.digest href=(Place::Manifest(repository.clone(), *digest)) title=(digest) { (digest.short()) } }
}

/// Says how many rows of a table were left out.
pub(crate) fn rest(rows: usize) -> Markup {
    html! { @if rows > ROWS { p.dim { (rows - ROWS) " more are not shown." } } }
}

/// What an entry of an index is for.
fn platform(entry: &Descriptor) -> Markup {
    if entry.annotations.get("vnd.docker.reference.type").is_some_and(|kind| kind == "attestation-manifest") {
        return html! { "Attestation" };
    }
    match &entry.platform {
        Some(platform) => {
            let parts = [Some(&platform.os), Some(&platform.architecture), platform.variant.as_ref()];
            let text = parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("/");
            html! { (cell(&text)) @if let Some(version) = &platform.os_version { " " span.dim { (cell(version)) } } }
        }
        None => html! { (entry.artifact_type.as_deref().map_or("any", word_for)) },
    }
}

/// Endings of the tags under which cosign keeps what belongs to an image.
const COMPANIONS: [(&str, &str); 3] = [(".sig", "Signature (cosign)"), (".att", "Attestation"), (".sbom", "SBOM")];

fn companions(
    metadata: &dyn Metadata,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Vec<Tag>, crate::metadata::Error> {
    let mut found = Vec::new();
    for (ending, _) in COMPANIONS {
        let name = format!("{}-{}{ending}", digest.algorithm().name(), digest.hex());
        let Ok(tag) = name.parse::<Tag>() else { continue };
        if metadata.tag(repository, &tag)?.is_some() {
            found.push(tag);
        }
    }
    Ok(found)
}

fn companion_word(tag: &Tag) -> &'static str {
    COMPANIONS.iter().find(|(ending, _)| tag.as_str().ends_with(ending)).map_or("Artifact", |(_, word)| word)
}

fn read_config(
    metadata: &dyn Metadata,
    objects: &dyn Objects,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<ImageFacts>, ReadError> {
    // What the repository itself holds: another's configuration is not shown because somebody knows its digest.
    let Some(blob) = metadata.blob(repository, digest)? else { return Ok(None) };
    Ok(bounded(objects, &blob)?.and_then(|bytes| ImageFacts::parse(&bytes)))
}

/// The bytes of an object; `None` where there are more than a page reads.
fn bounded(objects: &dyn Objects, blob: &BlobRow) -> Result<Option<Vec<u8>>, ReadError> {
    if blob.size > READ_LIMIT {
        return Ok(None);
    }
    let object = objects.open(&blob.key)?;
    let mut bytes = Vec::new();
    object.file.take(READ_LIMIT).read_to_end(&mut bytes).map_err(|error| ReadError::Read(blob.digest, error))?;
    Ok(Some(bytes))
}
