//! What comes in from elsewhere on this machine: bytes are hashed before anything names them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::{Digest, Hasher, RepositoryName, Tag};
use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::manifest;
use crate::metadata::{self, BlobRow, Committed, Existing, Metadata, NewManifest, TagWrite};
use crate::storage::{Objects, UploadId};
use crate::time::Instant;

/// Who histories name for what was imported.
pub(super) const ACTOR: &str = "import";
/// What is read at a time.
const PIECE: usize = 256 << 10;
/// Problems that are told one by one.
const TOLD: usize = 1000;

/// How things come in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choices {
    /// Bytes are copied even where they could be shared with their source.
    pub copy: bool,
    /// Manifests come in even where something that they reference is absent.
    pub allow_sparse: bool,
}

/// What came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Repositories that were looked at.
    pub repositories: u64,
    /// Blobs that are new in their repository.
    pub blobs: u64,
    /// Manifests that are new in their repository.
    pub manifests: u64,
    /// Tags that were made or moved.
    pub tags: u64,
    /// What was there already.
    pub known: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// What did not come in, and why.
    pub problems: Vec<String>,
    /// Further problems.
    pub more_problems: u64,
}

impl Imported {
    /// Notes what did not come in.
    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        if self.problems.len() < TOLD {
            self.problems.push(problem.into());
        } else {
            self.more_problems += 1;
        }
    }
}

/// What happened to one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Brought {
    /// It was there.
    Known,
    /// It is there now.
    New,
    /// It is not, and why.
    Not(String),
}

/// A stretch of a file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: File,
    pub(super) start: u64,
    pub(super) size: u64,
    /// Whether it is all of the file, and so can be shared.
    pub(super) whole: bool,
}

impl Source {
    /// All of a file.
    pub(super) fn whole(file: File) -> std::io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, start: 0, size, whole: true })
    }

    /// Calls `each` with all bytes in turn, and gives their digest.
    fn read(&self, like: &Digest, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Digest> {
        let mut hasher = Hasher::new(like.algorithm());
        let mut buffer = vec![0; PIECE];
        let mut at = 0;
        while at < self.size {
            let wanted = usize::try_from(self.size - at).unwrap_or(PIECE).min(PIECE);
            let count = self.file.read_at(&mut buffer[..wanted], self.start + at);
            let count = match count {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(Error::Io { call: "read", path: like.to_string().into(), source }),
            };
            hasher.update(&buffer[..count]);
            each(&buffer[..count])?;
            at += count as u64;
        }
        Ok(hasher.finish())
    }

    /// All bytes of what has no digest, at most `limit`.
    pub(super) fn plain(&self, limit: u64) -> Result<Vec<u8>> {
        if self.size > limit {
            let why = format!("it has {} bytes", self.size);
            return Err(Error::Malformed { what: "a document".to_owned(), why });
        }
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or_default()];
        self.file
            .read_exact_at(&mut bytes, self.start)
            .map_err(Error::io("read", std::path::Path::new("a document")))?;
        Ok(bytes)
    }

    /// All bytes, where they are at most `limit` and what they should be; else why not.
    pub(super) fn document(&self, digest: &Digest, limit: u64) -> Result<std::result::Result<Vec<u8>, String>> {
        if self.size > limit {
            return Ok(Err(format!("{digest} has {} bytes, which no manifest has", self.size)));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(self.size).unwrap_or_default());
        let found = self.read(digest, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(if found == *digest { Ok(bytes) } else { Err(wrong(digest, &found)) })
    }
}

fn wrong(expected: &Digest, found: &Digest) -> String {
    format!("{expected}: its content has the digest {found}")
}

/// The way in.
pub(super) struct Intake<'a> {
    pub(super) objects: &'a dyn Objects,
    pub(super) metadata: &'a dyn Metadata,
    pub(super) choices: Choices,
    /// Bytes that were hashed so far.
    pub(super) hashed: AtomicU64,
}

impl<'a> Intake<'a> {
    pub(super) fn new(objects: &'a dyn Objects, metadata: &'a dyn Metadata, choices: Choices) -> Self {
        Self { objects, metadata, choices, hashed: AtomicU64::new(0) }
    }

    /// Brings a blob into a repository; `open` is asked for its bytes only where they are not stored yet.
    pub(super) fn blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        open: impl FnOnce() -> Result<Option<Source>>,
    ) -> Result<Brought> {
        let now = Instant::now();
        if self.metadata.blob(repository, digest)?.is_some() {
            return Ok(Brought::Known);
        }
        if let Some(row) = self.metadata.object(digest)? {
            self.metadata.link_blob(repository, &row, &[], now)?;
            return Ok(Brought::New);
        }
        let Some(source) = open()? else { return Ok(Brought::Not(format!("{repository}: {digest} is not there"))) };
        let row = match self.store(digest, &source)? {
            Ok(row) => row,
            Err(why) => return Ok(Brought::Not(format!("{repository}: {why}"))),
        };
        match self.metadata.link_blob(repository, &row, &[], now) {
            Ok(Committed::Stored) => {}
            Ok(Committed::Existed(_)) => {
                self.objects.remove(&row.key)?;
            }
            Err(error) => {
                self.objects.remove(&row.key)?;
                return Err(error.into());
            }
        }
        Ok(Brought::New)
    }

    fn store(&self, digest: &Digest, source: &Source) -> Result<std::result::Result<BlobRow, String>> {
        let count = |piece: &[u8]| {
            self.hashed.fetch_add(piece.len() as u64, Ordering::Relaxed);
        };
        if source.whole && !self.choices.copy {
            let found = source.read(digest, &mut |piece| {
                count(piece);
                Ok(())
            })?;
            if found != *digest {
                return Ok(Err(wrong(digest, &found)));
            }
            if let Some(key) = self.objects.adopt(digest, &source.file)? {
                return Ok(Ok(BlobRow { digest: *digest, size: source.size, key }));
            }
        }
        let upload = UploadId::random()?;
        self.objects.begin(&upload)?;
        let copied = self.objects.writer(&upload, 0).map_err(Error::from).and_then(|mut writer| {
            source.read(digest, &mut |piece| {
                count(piece);
                Ok(writer.append(piece)?)
            })
        });
        match copied {
            Ok(found) if found == *digest => {
                let key = self.objects.commit(&upload, digest)?;
                Ok(Ok(BlobRow { digest: *digest, size: source.size, key }))
            }
            other => {
                self.objects.abort(&upload)?;
                other.map(|found| Err(wrong(digest, &found)))
            }
        }
    }

    /// Brings a manifest in, whose blobs are there; its bytes have its digest.
    pub(super) fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        bytes: &[u8],
        media_type: Option<&str>,
        at: Instant,
    ) -> Result<Brought> {
        if self.metadata.manifest(repository, digest)?.is_some() {
            return Ok(Brought::Known);
        }
        let parsed = match manifest::parse(bytes, media_type) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Brought::Not(format!("{repository}: {digest}: {error}"))),
        };
        let key = self.objects.put(digest, bytes)?;
        let blob = BlobRow { digest: *digest, size: bytes.len() as u64, key };
        let new = NewManifest {
            repository: repository.clone(),
            blob: blob.clone(),
            media_type: parsed.media_type.to_owned(),
            artifact_type: parsed.artifact_type,
            annotations: parsed.annotations,
            subject: parsed.subject,
            edges: parsed.edges,
            tags: Vec::new(),
            allow_sparse: self.choices.allow_sparse,
            quotas: Vec::new(),
            actor: ACTOR.to_owned(),
            at,
        };
        let stored = self.metadata.put_manifest(&new);
        if !matches!(stored, Ok(Committed::Stored)) {
            self.objects.remove(&blob.key)?;
        }
        match stored {
            Ok(_) => Ok(Brought::New),
            Err(metadata::Error::Absent(digests)) => {
                let list = digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                Ok(Brought::Not(format!("{repository}: {digest} references what is not there: {list}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lets a tag name a manifest, unless somebody has moved it here since.
    pub(super) fn tag(&self, repository: &RepositoryName, tag: &Tag, digest: &Digest, at: Instant) -> Result<Brought> {
        if self.metadata.tag(repository, tag)?.is_some_and(|row| row.digest == *digest) {
            return Ok(Brought::Known);
        }
        let newest = self.metadata.history(repository, tag, 1)?.into_iter().next();
        if newest.is_some_and(|row| row.actor != ACTOR) {
            let words = "was written here since it was imported: it stays as it is";
            return Ok(Brought::Not(format!("{repository}:{tag} {words}")));
        }
        let write = TagWrite { tag: tag.clone(), existing: Existing::Move };
        if self.metadata.set_tag(repository, &write, digest, ACTOR, at)? {
            return Ok(Brought::New);
        }
        Ok(Brought::Not(format!("{repository}:{tag} names {digest}, which did not come in")))
    }
}
