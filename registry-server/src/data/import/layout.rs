//! OCI layouts: a folder, or a tar of one, with `index.json` and `blobs/<algorithm>/<hex>`.
//! Specification: OCI image-spec, image-layout.md.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;

use oci::{Descriptor, Digest, Index, Reference, Tag, media_type};
use sys::Root;

use super::super::intake::{Brought, Imported, Intake, Source};
use super::super::{Error, Progress, Result, pool};
use super::archive::Archive;
use super::{MANIFEST_LIMIT, Target, count};
use crate::metadata::EdgeKind;
use crate::time::Instant;

/// The annotation that names an image in a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The one in which containerd and docker put the whole reference.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// Indexes list indexes, but nobody nests deeper.
const DEEPEST: usize = 8;
/// Manifests of one layout.
const MOST: usize = 100_000;
/// Blobs at once: each waits for the disk twice, and commits share an fsync.
const AT_ONCE: usize = 16;

/// Where the bytes are.
enum Place {
    Folder(Root),
    Tar(Archive),
}

impl Place {
    fn open(&self, path: &str) -> Result<Option<Source>> {
        match self {
            Self::Tar(archive) => archive.open(path),
            Self::Folder(root) => match root.open_regular(path) {
                Ok(file) => Source::whole(file).map(Some).map_err(Error::io("stat", Path::new(path))),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(Error::Io { call: "open", path: path.into(), source: std::io::Error::other(error) }),
            },
        }
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Source>> {
        self.open(&format!("blobs/{}/{}", digest.algorithm().name(), digest.hex()))
    }
}

struct Import<'i> {
    intake: &'i Intake<'i>,
    place: Place,
    target: &'i Target,
    /// Manifests that came in, or did not: each is looked at once.
    seen: BTreeSet<Digest>,
    report: Imported,
    objects: u64,
    progress: &'i mut dyn FnMut(Progress) -> Result<()>,
}

pub(super) fn import(
    intake: &Intake<'_>,
    source: &Path,
    is_file: bool,
    target: &Target,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Imported> {
    let place = if is_file {
        Place::Tar(Archive::open_at(source)?)
    } else {
        let opened = Root::open(source);
        let failed = |error| Error::Io { call: "open", path: source.into(), source: std::io::Error::other(error) };
        Place::Folder(opened.map_err(failed)?)
    };
    let malformed = |why: String| Error::Malformed { what: format!("{}: index.json", source.display()), why };
    let index = place.open("index.json")?.ok_or_else(|| malformed("it is not there".to_owned()))?;
    let bytes = index.plain(MANIFEST_LIMIT)?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    let report = Imported { repositories: 1, ..Imported::default() };
    let mut import = Import { intake, place, target, seen: BTreeSet::new(), report, objects: 0, progress };
    let only = index.manifests.len() == 1;
    for descriptor in &index.manifests {
        if import.manifest(descriptor, 0)? {
            import.name(descriptor, only)?;
        }
    }
    import.report.bytes = intake.hashed.load(Ordering::Relaxed);
    Ok(import.report)
}

impl Import<'_> {
    /// Brings in a manifest and all below it; `false` where it did not come in.
    fn manifest(&mut self, descriptor: &Descriptor, depth: usize) -> Result<bool> {
        let digest = descriptor.digest;
        let repository = &self.target.repository;
        if !self.seen.insert(digest) {
            return Ok(self.intake.metadata.manifest(repository, &digest)?.is_some());
        }
        if depth > DEEPEST || self.seen.len() > MOST {
            self.report.problem(format!("{digest}: indexes nested too deep, or too many of them"));
            return Ok(false);
        }
        let Some(source) = self.place.blob(&digest)? else {
            self.report.problem(format!("{digest} is not in the layout"));
            return Ok(false);
        };
        let bytes = match source.document(&digest, MANIFEST_LIMIT)? {
            Ok(bytes) => bytes,
            Err(why) => {
                self.report.problem(why);
                return Ok(false);
            }
        };
        if media_type::is_index(&descriptor.media_type) {
            let children: Index = match serde_json::from_slice(&bytes) {
                Ok(children) => children,
                Err(error) => {
                    self.report.problem(format!("{digest}: {error}"));
                    return Ok(false);
                }
            };
            for child in &children.manifests {
                // An index may list what nobody copied: whether it comes in without, its own turn decides.
                if self.place.blob(&child.digest)?.is_some() {
                    self.manifest(child, depth + 1)?;
                }
            }
        } else {
            self.blobs(&digest, &bytes, &descriptor.media_type)?;
        }
        let brought =
            self.intake.manifest(repository, &digest, &bytes, Some(&descriptor.media_type), Instant::now())?;
        self.objects += 1;
        let came = !matches!(brought, Brought::Not(_));
        count(&mut self.report, brought, |report| report.manifests += 1);
        Ok(came)
    }

    fn blobs(&mut self, digest: &Digest, bytes: &[u8], media_type: &str) -> Result<()> {
        // What cannot be parsed has no blobs; its own turn says why it does not come in.
        let Ok(parsed) = crate::manifest::parse(bytes, Some(media_type)) else { return Ok(()) };
        let mut edges =
            parsed.edges.into_iter().filter(|edge| edge.kind != EdgeKind::Manifest && edge.digest != *digest);
        let (intake, place, repository) = (self.intake, &self.place, &self.target.repository);
        let work = |edge: crate::metadata::Edge| -> Result<(bool, Brought)> {
            let brought = intake.blob(repository, &edge.digest, || place.blob(&edge.digest))?;
            Ok((edge.optional, brought))
        };
        let (report, objects, progress) = (&mut self.report, &mut self.objects, &mut *self.progress);
        pool::run(AT_ONCE, &mut edges, &work, &mut |done| {
            if let Some(done) = done {
                *objects += 1;
                match done? {
                    (true, Brought::Not(_)) => {}
                    (_, brought) => count(report, brought, |report| report.blobs += 1),
                }
            }
            progress(Progress { objects: *objects, bytes: intake.hashed.load(Ordering::Relaxed), total: 0 })
        })
    }

    fn name(&mut self, descriptor: &Descriptor, only: bool) -> Result<()> {
        let tag = tag_of(descriptor).or_else(|| self.target.tag.clone().filter(|_| only));
        let Some(tag) = tag else {
            let words = "has no name in the layout, and gets no tag: it goes when its grace is over";
            self.report.problem(format!("{} {words}", descriptor.digest));
            return Ok(());
        };
        let brought = self.intake.tag(&self.target.repository, &tag, &descriptor.digest, Instant::now())?;
        count(&mut self.report, brought, |report| report.tags += 1);
        Ok(())
    }
}

/// The tag by which a layout calls an image: a bare tag, or that of a whole reference.
fn tag_of(descriptor: &Descriptor) -> Option<Tag> {
    [REF_NAME, IMAGE_NAME].iter().find_map(|name| {
        let text = descriptor.annotations.get(*name)?;
        text.parse::<Tag>().ok().or_else(|| text.parse::<Reference>().ok()?.tag().cloned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images() {
        let cases = [
            (REF_NAME, "v1.0", Some("v1.0")),
            (REF_NAME, "docker.io/library/busybox:1.36", Some("1.36")),
            (IMAGE_NAME, "localhost:5000/a/b:x", Some("x")),
            (REF_NAME, "not a name!", None),
            ("org.example", "v1", None),
        ];
        for (annotation, text, expected) in cases {
            let mut descriptor = Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(b""), 0);
            descriptor.annotations.insert(annotation.to_owned(), text.to_owned());
            assert_eq!(tag_of(&descriptor).as_ref().map(Tag::as_str), expected, "{text}");
        }
    }
}
