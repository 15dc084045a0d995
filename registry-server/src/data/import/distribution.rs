//! A data directory of distribution's registry ("Docker registry", CNCF distribution), version 2.
//!
//! ```text
//! docker/registry/v2/
//!   blobs/<algorithm>/<hh>/<hex>/data
//!   repositories/<name>/
//!     _layers/<algorithm>/<hex>/link                      a digest, as text
//!     _manifests/revisions/<algorithm>/<hex>/link
//!     _manifests/tags/<tag>/current/link
//!     _manifests/tags/<tag>/index/<algorithm>/<hex>/link  what the tag has named
//! ```
//!
//! What was deleted there has lost its `link` and keeps its folder. Media types are not kept there: they are read from
//! the manifests. The times of the links are those of the pushes.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use oci::{Algorithm, Digest, RepositoryName, Tag};
use sys::Root;
use sys::dirents::Dirents;

use super::super::intake::{Brought, Imported, Intake, Source};
use super::super::{Error, Progress, Result, pool};
use super::{MANIFEST_LIMIT, count};
use crate::time::Instant;

/// Longest link: a sha512 digest has 135 characters.
const LINK_LIMIT: u64 = 256;
/// Deepest name of a repository: 255 characters hold no more.
const DEEPEST: usize = 128;
/// Blobs at once: each waits for the disk twice, and commits share an fsync.
const AT_ONCE: usize = 16;
/// Rounds for manifests that reference manifests: an index of indexes of images takes three.
const ROUNDS: usize = 8;
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// Reads a link file: a digest, and perhaps an end of line.
pub fn parse_link(bytes: &[u8]) -> Option<Digest> {
    std::str::from_utf8(bytes).ok()?.trim_end().parse().ok()
}

/// The folder and who listens.
struct Import<'i> {
    intake: &'i Intake<'i>,
    root: Root,
    path: &'i Path,
    report: Imported,
    objects: u64,
}

pub(super) fn import(
    intake: &Intake<'_>,
    source: &Path,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Imported> {
    let root = locate(source)?;
    let mut import = Import { intake, root, path: source, report: Imported::default(), objects: 0 };
    let mut names = Vec::new();
    import.repositories(Path::new("repositories"), 0, &mut names)?;
    names.sort();
    for name in names {
        import.repository(&name, progress)?;
    }
    import.report.bytes = intake.hashed.load(Ordering::Relaxed);
    Ok(import.report)
}

/// The folder `docker/registry/v2` at, above or below what was given.
fn locate(source: &Path) -> Result<Root> {
    for inner in ["docker/registry/v2", "registry/v2", "v2", "."] {
        let candidate = source.join(inner);
        if candidate.join("repositories").is_dir() {
            return Root::open(&candidate).map_err(|error| failed(error, source));
        }
    }
    let why = "it holds neither docker/registry/v2/repositories nor an OCI layout".to_owned();
    Err(Error::Malformed { what: source.display().to_string(), why })
}

fn failed(error: sys::Error, path: &Path) -> Error {
    Error::Io { call: "open", path: path.join(error.path()), source: std::io::Error::other(error) }
}

impl Import<'_> {
    /// Finds repositories: folders that hold `_manifests` or `_layers`, at any depth.
    fn repositories(&self, at: &Path, depth: usize, found: &mut Vec<RepositoryName>) -> Result<()> {
        if depth > DEEPEST {
            return Ok(());
        }
        let mut is_one = false;
        for name in self.names(at)? {
            match name.as_str() {
                "_manifests" | "_layers" => is_one = true,
                "_uploads" => {}
                _ => self.repositories(&at.join(&name), depth + 1, found)?,
            }
        }
        let name = at.strip_prefix("repositories").ok().and_then(Path::to_str);
        if let Some(name) = name.filter(|_| is_one).and_then(|name| name.parse().ok()) {
            found.push(name);
        }
        Ok(())
    }

    fn repository(&mut self, name: &RepositoryName, progress: &mut dyn FnMut(Progress) -> Result<()>) -> Result<()> {
        let at = Path::new("repositories").join(name.as_str());
        self.report.repositories += 1;
        for algorithm in ALGORITHMS {
            self.blobs(name, &at, algorithm, progress)?;
        }
        self.manifests(name, &at)?;
        self.tags(name, &at)?;
        progress(self.progress())
    }

    fn progress(&self) -> Progress {
        Progress { objects: self.objects, bytes: self.intake.hashed.load(Ordering::Relaxed), total: 0 }
    }

    fn blobs(
        &mut self,
        name: &RepositoryName,
        at: &Path,
        algorithm: Algorithm,
        progress: &mut dyn FnMut(Progress) -> Result<()>,
    ) -> Result<()> {
        let folder = at.join("_layers").join(algorithm.name());
        let Some(mut entries) = self.folder(&folder)? else { return Ok(()) };
        let (intake, root, path) = (self.intake, &self.root, self.path);
        let mut items = std::iter::from_fn(move || next_name(&mut entries).transpose());
        let work = |item: Result<String>| -> Result<Brought> {
            let hex = item?;
            let Some(digest) = link(root, &folder.join(&hex).join("link"), path)?.map(|(digest, _)| digest) else {
                return Ok(Brought::Known);
            };
            intake.blob(name, &digest, || blob(root, &digest, path))
        };
        let (report, objects) = (&mut self.report, &mut self.objects);
        pool::run(AT_ONCE, &mut items, &work, &mut |brought| {
            if let Some(brought) = brought {
                *objects += 1;
                count(report, brought?, |report| report.blobs += 1);
            }
            progress(Progress { objects: *objects, bytes: intake.hashed.load(Ordering::Relaxed), total: 0 })
        })
    }

    /// Images before the indexes that list them: whatever lacks something waits for the next round.
    fn manifests(&mut self, name: &RepositoryName, at: &Path) -> Result<()> {
        let mut waiting = Vec::new();
        for algorithm in ALGORITHMS {
            let folder = at.join("_manifests/revisions").join(algorithm.name());
            for hex in self.names(&folder)? {
                waiting.extend(link(&self.root, &folder.join(hex).join("link"), self.path)?);
            }
        }
        waiting.sort_by_key(|(_, at)| *at);
        for round in 0..ROUNDS {
            let (before, mut refused) = (waiting.len(), Vec::new());
            for (digest, at) in waiting {
                self.objects += u64::from(round == 0);
                match self.manifest(name, &digest, at)? {
                    Brought::Not(why) => refused.push((digest, at, why)),
                    brought => count(&mut self.report, brought, |report| report.manifests += 1),
                }
            }
            if refused.is_empty() || refused.len() == before || round + 1 == ROUNDS {
                refused.into_iter().for_each(|(_, _, why)| self.report.problem(why));
                return Ok(());
            }
            waiting = refused.into_iter().map(|(digest, at, _)| (digest, at)).collect();
        }
        Ok(())
    }

    fn manifest(&self, name: &RepositoryName, digest: &Digest, at: Instant) -> Result<Brought> {
        let Some(source) = blob(&self.root, digest, self.path)? else {
            return Ok(Brought::Not(format!("{name}: {digest} is not there")));
        };
        match source.document(digest, MANIFEST_LIMIT)? {
            Ok(bytes) => self.intake.manifest(name, digest, &bytes, media_type(&bytes), at),
            Err(why) => Ok(Brought::Not(format!("{name}: {why}"))),
        }
    }

    fn tags(&mut self, name: &RepositoryName, at: &Path) -> Result<()> {
        let folder = at.join("_manifests/tags");
        for text in self.names(&folder)? {
            let Ok(tag) = text.parse::<Tag>() else { continue };
            let folder = folder.join(&text);
            let Some((current, at)) = link(&self.root, &folder.join("current/link"), self.path)? else { continue };
            for (digest, at) in self.past(&folder, &current)? {
                // The past is welcome, and no loss where it is gone.
                if self.intake.metadata.tag(name, &tag)?.is_none_or(|row| row.digest != current) {
                    self.intake.tag(name, &tag, &digest, at)?;
                }
            }
            let brought = self.intake.tag(name, &tag, &current, at)?;
            count(&mut self.report, brought, |report| report.tags += 1);
        }
        Ok(())
    }

    /// What a tag named before, oldest first.
    fn past(&self, folder: &Path, current: &Digest) -> Result<Vec<(Digest, Instant)>> {
        let mut past = Vec::new();
        for algorithm in ALGORITHMS {
            let folder = folder.join("index").join(algorithm.name());
            for hex in self.names(&folder)? {
                past.extend(link(&self.root, &folder.join(hex).join("link"), self.path)?);
            }
        }
        past.retain(|(digest, _)| digest != current);
        past.sort_by_key(|(_, at)| *at);
        Ok(past)
    }

    /// Names in a folder, none where there is no folder.
    fn names(&self, folder: &Path) -> Result<Vec<String>> {
        let Some(mut entries) = self.folder(folder)? else { return Ok(Vec::new()) };
        std::iter::from_fn(|| next_name(&mut entries).transpose()).collect()
    }

    fn folder(&self, folder: &Path) -> Result<Option<Dirents>> {
        match self.root.read_dir(folder) {
            Ok(entries) => Ok(Some(entries)),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(failed(error, self.path)),
        }
    }
}

/// The next name that is text: ours are.
fn next_name(entries: &mut Dirents) -> Result<Option<String>> {
    loop {
        match entries.next_borrowed() {
            Ok(None) => return Ok(None),
            Ok(Some((name, _, _))) => {
                if let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) {
                    return Ok(Some(name.to_owned()));
                }
            }
            Err(error) => return Err(failed(error, Path::new(""))),
        }
    }
}

fn open(root: &Root, path: &Path, source: &Path) -> Result<Option<File>> {
    match root.open_regular(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(failed(error, source)),
    }
}

/// A link and the time of its writing; `None` where it is gone or holds no digest.
fn link(root: &Root, path: &Path, source: &Path) -> Result<Option<(Digest, Instant)>> {
    let Some(file) = open(root, path, source)? else { return Ok(None) };
    let modified = file.metadata().and_then(|metadata| metadata.modified()).map_err(Error::io("stat", path))?;
    let milliseconds = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut bytes = Vec::new();
    file.take(LINK_LIMIT).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(parse_link(&bytes).map(|digest| (digest, Instant(i64::try_from(milliseconds).unwrap_or_default()))))
}

fn blob(root: &Root, digest: &Digest, source: &Path) -> Result<Option<Source>> {
    let hex = digest.hex();
    let path = Path::new("blobs").join(digest.algorithm().name()).join(&hex[..2]).join(&hex).join("data");
    let Some(file) = open(root, &path, source)? else { return Ok(None) };
    Source::whole(file).map(Some).map_err(Error::io("stat", &path))
}

/// What a manifest without a media type of its own is.
fn media_type(bytes: &[u8]) -> Option<&'static str> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        media_type: Option<serde::de::IgnoredAny>,
        manifests: Option<serde::de::IgnoredAny>,
        config: Option<serde::de::IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(bytes).ok()?;
    match shape {
        Shape { media_type: Some(_), .. } => None,
        Shape { manifests: Some(_), .. } => Some(oci::media_type::OCI_INDEX),
        Shape { config: Some(_), .. } => Some(oci::media_type::OCI_MANIFEST),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_hold_a_digest_and_nothing_else() {
        let digest = Digest::sha256(b"");
        for good in [format!("{digest}"), format!("{digest}\n")] {
            assert_eq!(parse_link(good.as_bytes()), Some(digest));
        }
        for bad in ["", "sha256:", "../../../etc/passwd", &format!("{digest} {digest}"), &format!(" {digest}"), "\u{0}"]
        {
            assert_eq!(parse_link(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse_link(&[0xff, 0xfe]), None);
    }
}
