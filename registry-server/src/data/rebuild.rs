//! Metadata made anew: from the objects, which say what they are, and from the journal of names, which says whose
//! they are and what they are called.
//!
//! Every object is hashed first, since a file without a row may be what a crash left of one. Where there is no journal,
//! nobody knows the repositories: all manifests then come into one that is called `recovered`.
//! The old metadata is moved aside before and stays.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use oci::{Digest, RepositoryName};
use serde::{Deserialize, Serialize};

use super::{Error, Progress, Result, Verdict, verify};
use crate::manifest;
use crate::metadata::sqlite::journal::{self, Names, State};
use crate::metadata::sqlite::{DATABASE, JOURNAL, UPLOADS};
use crate::metadata::{BlobRow, Existing, Metadata, NewManifest, SqliteMetadata, TagWrite};
use crate::storage::{FsObjects, ObjectKey, Objects};
use crate::time::Instant;

/// The repository of what belongs to nobody.
const RECOVERED: &str = "recovered";
/// Longest object that may be a manifest of nobody's.
const MANIFEST_LIMIT: u64 = 16 << 20;
/// Things of a kind that are told one by one.
const TOLD: usize = 1000;

/// What was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// Objects that were read.
    pub objects: u64,
    /// Repositories that have something again.
    pub repositories: u64,
    /// Blobs that are shown again.
    pub blobs: u64,
    /// Manifests.
    pub manifests: u64,
    /// Tags.
    pub tags: u64,
    /// Lines of the journal that could not be read.
    pub damaged_lines: u64,
    /// Whether there was a journal at all.
    pub journal: bool,
    /// Where the old metadata is now.
    pub old: Option<PathBuf>,
    /// What is lost, in sentences, at most a thousand of them.
    pub problems: Vec<String>,
}

impl Rebuilt {
    fn problem(&mut self, problem: String) {
        if self.problems.len() < TOLD {
            self.problems.push(problem);
        }
    }
}

/// Makes the metadata of the directory `root` anew; the caller owns it, and nothing of it is open. `progress` ends it by
/// failing; the old metadata is aside then, and another run goes on.
///
/// # Errors
/// When a file cannot be moved, read or written.
pub fn rebuild(root: &Path, progress: &mut dyn FnMut(Progress) -> Result<()>) -> Result<Rebuilt> {
    let mut report = Rebuilt::default();
    let state = set_aside(root, &mut report)?;
    let objects = FsObjects::open(root)?;
    let good = read_all(&objects, &mut report, progress)?;
    let metadata = SqliteMetadata::open(root)?;
    let state = if report.journal { state } else { recovered(&objects, &good)? };
    for (name, names) in &state.repositories {
        repository(&objects, &metadata, &good, name, names, &mut report)?;
    }
    Ok(report)
}

/// Moves the old metadata into a folder of its own, and reads the journal there.
fn set_aside(root: &Path, report: &mut Rebuilt) -> Result<State> {
    let aside = root.join(format!("metadata.before-{}", Instant::now().0));
    for base in [DATABASE, UPLOADS, JOURNAL] {
        for ending in ["", "-wal", "-shm"] {
            let name = format!("{base}{ending}");
            let from = root.join(&name);
            if from.exists() {
                std::fs::create_dir_all(&aside).map_err(Error::io("mkdir", &aside))?;
                std::fs::rename(&from, aside.join(&name)).map_err(Error::io("rename", &from))?;
                report.old = Some(aside.clone());
            }
        }
    }
    let journal = newest_journal(root)?;
    report.journal = journal.is_some();
    let state = journal.map(|path| journal::replay(&path)).transpose()?.unwrap_or_default();
    report.damaged_lines = state.damaged;
    Ok(state)
}

/// The longest journal of those aside: a run that was cut off has begun a new one.
fn newest_journal(root: &Path) -> Result<Option<PathBuf>> {
    let mut best: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(root).map_err(Error::io("opendir", root))? {
        let entry = entry.map_err(Error::io("readdir", root))?;
        if entry.file_name().to_string_lossy().starts_with("metadata.before-") {
            let path = entry.path().join(JOURNAL);
            let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            if length > 0 && best.as_ref().is_none_or(|(longest, _)| length > *longest) {
                best = Some((length, path));
            }
        }
    }
    Ok(best.map(|(_, path)| path))
}

/// Hashes all objects; of equal ones the first stays, what is damaged is told and left where it is.
fn read_all(
    objects: &FsObjects,
    report: &mut Rebuilt,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<BTreeMap<Digest, BlobRow>> {
    let (mut rows, mut total) = (Vec::new(), 0);
    objects.walk(&mut |key, digest, size| {
        total += size;
        rows.push(BlobRow { digest, size, key });
        Ok(())
    })?;
    let mut good = BTreeMap::new();
    verify(objects, &mut rows.into_iter().map(Ok), &mut |judged, bytes| {
        match judged {
            Some((row, Verdict::Good)) => {
                report.objects += 1;
                good.entry(row.digest).or_insert(row);
            }
            Some((row, verdict)) => {
                report.objects += 1;
                report.problem(format!("{}: {verdict}", row.key.0));
            }
            None => {}
        }
        progress(Progress { objects: report.objects, bytes, total })
    })?;
    Ok(good)
}

fn repository(
    objects: &FsObjects,
    metadata: &SqliteMetadata,
    good: &BTreeMap<Digest, BlobRow>,
    name: &RepositoryName,
    names: &Names,
    report: &mut Rebuilt,
) -> Result<()> {
    let mut any = false;
    for (digest, at) in &names.blobs {
        match good.get(digest) {
            Some(row) => {
                metadata.link_blob(name, row, &[], *at)?;
                report.blobs += 1;
                any = true;
            }
            None => report.problem(format!("{name}: the blob {digest} is lost")),
        }
    }
    for (digest, named) in &names.manifests {
        let Some(row) = good.get(digest) else {
            report.problem(format!("{name}: the manifest {digest} is lost"));
            continue;
        };
        let bytes = content(objects, &row.key)?;
        match manifest::parse(&bytes, Some(&named.media_type)) {
            Ok(parsed) => {
                metadata.put_manifest(&new_manifest(name, row, parsed, named.at))?;
                report.manifests += 1;
                any = true;
            }
            Err(error) => report.problem(format!("{name}: the manifest {digest} is lost: {error}")),
        }
    }
    tags(metadata, name, names, report)?;
    report.repositories += u64::from(any);
    Ok(())
}

/// References may be absent: they were, or they are what is lost.
fn new_manifest(name: &RepositoryName, row: &BlobRow, parsed: manifest::Manifest, at: Instant) -> NewManifest {
    NewManifest {
        repository: name.clone(),
        blob: row.clone(),
        media_type: parsed.media_type.to_owned(),
        artifact_type: parsed.artifact_type,
        annotations: parsed.annotations,
        subject: parsed.subject,
        edges: parsed.edges,
        tags: Vec::new(),
        allow_sparse: true,
        quotas: Vec::new(),
        actor: "fsck".to_owned(),
        at,
    }
}

/// Lets every tag move again as it did, as far as what it named is there.
fn tags(metadata: &SqliteMetadata, name: &RepositoryName, names: &Names, report: &mut Rebuilt) -> Result<()> {
    for moved in &names.history {
        match &moved.digest {
            Some(digest) => {
                let write = TagWrite { tag: moved.tag.clone(), existing: Existing::Move };
                metadata.set_tag(name, &write, digest, &moved.actor, moved.at)?;
            }
            None => {
                metadata.delete_tag(name, &moved.tag, &moved.actor, moved.at)?;
            }
        }
    }
    for (tag, named) in &names.tags {
        match metadata.tag(name, tag)? {
            Some(row) if row.digest == named.digest => report.tags += 1,
            _ => report.problem(format!("{name}:{tag} named {}, which is lost", named.digest)),
        }
    }
    Ok(())
}

fn content(objects: &FsObjects, key: &ObjectKey) -> Result<Vec<u8>> {
    let object = objects.open(key)?;
    let mut bytes = Vec::new();
    object.file.take(MANIFEST_LIMIT).read_to_end(&mut bytes).map_err(Error::io("read", Path::new(&key.0)))?;
    Ok(bytes)
}

/// What can be told without a journal: which objects are manifests, and what they reference.
fn recovered(objects: &FsObjects, good: &BTreeMap<Digest, BlobRow>) -> Result<State> {
    let Ok(name) = RECOVERED.parse::<RepositoryName>() else { return Ok(State::default()) };
    let (mut names, now) = (Names::default(), Instant::now());
    for row in good.values().filter(|row| row.size <= MANIFEST_LIMIT) {
        let object = objects.open(&row.key)?;
        let mut first = [0_u8; 1];
        // Most objects are compressed layers: one byte tells.
        if !matches!((&object.file).read(&mut first), Ok(1)) || !first[0].is_ascii_whitespace() && first[0] != b'{' {
            continue;
        }
        if let Ok(parsed) = manifest::parse(&content(objects, &row.key)?, None) {
            let media_type = parsed.media_type.to_owned();
            names.manifests.insert(row.digest, journal::NamedManifest { media_type, at: now });
            names.blobs.extend(parsed.edges.iter().map(|edge| (edge.digest, now)));
        }
    }
    // Manifests that indexes list are no blobs; what is absent was perhaps never here.
    names.blobs.retain(|digest, _| good.contains_key(digest) && !names.manifests.contains_key(digest));
    Ok(State { repositories: BTreeMap::from([(name, names)]), ..State::default() })
}
