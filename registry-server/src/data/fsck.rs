//! Whether a data directory is sound, and what makes it so again.
//!
//! Every object is read and hashed, the rows are counted against one another, and files without rows are told. It may
//! run beside a server that works: what that one takes away meanwhile is looked up again and is no problem.
//!
//! A repair takes what is damaged out of reach, bytes and rows both, so that it is never served and can be pushed again.
//! The bytes stay in `quarantine/` for whoever wants to look.

use oci::Digest;
use serde::{Deserialize, Serialize};

use super::{Error, Progress, Result, Verdict, verify};
use crate::metadata::{BlobRow, Metadata, Page};
use crate::storage::{ObjectKey, Objects};
use crate::time::Instant;

/// Rows read at a time.
const STEP: usize = 1000;
/// Problems that are told one by one.
const TOLD: usize = 1000;
/// Repositories that may hold one damaged blob.
const HOLDERS: usize = 100_000;
/// Who histories name for what a repair takes away.
const ACTOR: &str = "fsck";

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// What it should hash to.
    pub digest: Digest,
    /// Where it is.
    pub key: String,
    /// What is wrong, in words.
    pub why: String,
    /// Repositories that show it.
    pub repositories: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Objects that were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that are not what they should be, at most a thousand of them.
    pub damaged: Vec<Damage>,
    /// How many there are in all.
    pub damages: u64,
    /// Rows that disagree, in sentences.
    pub rows: Vec<String>,
    /// Files without rows: litter of killed uploads, which is swept by itself.
    pub litter: u64,
    /// Its bytes.
    pub litter_bytes: u64,
    /// Whether what is damaged was taken out of reach.
    pub repaired: bool,
}

impl Report {
    /// Whether nothing is wrong. Litter is not wrong.
    pub fn is_clean(&self) -> bool {
        self.damages == 0 && self.rows.is_empty()
    }
}

/// Checks everything, and changes nothing. `progress` ends it by failing.
///
/// # Errors
/// When the directory cannot be read as far as that; damage of what is stored is no error.
pub fn check(
    objects: &dyn Objects,
    metadata: &dyn Metadata,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Report> {
    let mut report = Report { rows: metadata.check()?, ..Report::default() };
    let total = metadata.total_bytes()?;
    let mut after = None;
    let mut page = Vec::new().into_iter();
    let mut rows = std::iter::from_fn(|| {
        loop {
            if let Some(row) = page.next() {
                return Some(Ok::<BlobRow, Error>(row));
            }
            match next_page(metadata, &mut after) {
                Ok(rows) if rows.is_empty() => return None,
                Ok(rows) => page = rows.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    });
    verify(objects, &mut rows, &mut |judged, bytes| {
        report.bytes = bytes;
        if let Some((row, verdict)) = judged {
            report.objects += 1;
            if verdict != Verdict::Good && is_current(metadata, &row)? {
                report.damages += 1;
                if report.damaged.len() < TOLD {
                    report.damaged.push(damage(metadata, &row, &verdict)?);
                }
            }
        }
        progress(Progress { objects: report.objects, bytes, total })
    })?;
    litter(objects, metadata, &mut report)?;
    Ok(report)
}

fn next_page(metadata: &dyn Metadata, after: &mut Option<String>) -> Result<Vec<BlobRow>> {
    let rows = metadata.objects(Page { after: after.as_deref(), limit: STEP })?;
    if let Some(last) = rows.last() {
        *after = Some(last.digest.to_string());
    }
    Ok(rows)
}

/// Whether a row is still there: a collector that works beside us takes rows first and bytes then.
fn is_current(metadata: &dyn Metadata, row: &BlobRow) -> Result<bool> {
    Ok(metadata.object(&row.digest)?.is_some_and(|current| current.key == row.key))
}

fn damage(metadata: &dyn Metadata, row: &BlobRow, verdict: &Verdict) -> Result<Damage> {
    let mut repositories = holders(metadata, &row.digest)?;
    repositories.truncate(STEP);
    let repositories = repositories.iter().map(|name| name.as_str().to_owned()).collect();
    Ok(Damage { digest: row.digest, key: row.key.0.clone(), why: verdict.to_string(), repositories })
}

/// Repositories that show a digest, as a blob or as a manifest.
fn holders(metadata: &dyn Metadata, digest: &Digest) -> Result<Vec<oci::RepositoryName>> {
    let mut found = metadata.holders(digest, HOLDERS)?;
    let mut after: Option<oci::RepositoryName> = None;
    loop {
        let names =
            metadata.repositories(Page { after: after.as_ref().map(oci::RepositoryName::as_str), limit: STEP })?;
        for name in &names {
            if metadata.manifest(name, digest)?.is_some() && !found.contains(name) {
                found.push(name.clone());
            }
        }
        if names.len() < STEP {
            return Ok(found);
        }
        after = names.into_iter().next_back();
    }
}

fn litter(objects: &dyn Objects, metadata: &dyn Metadata, report: &mut Report) -> Result<()> {
    let mut failed = None;
    objects.walk(&mut |key, digest, size| {
        match metadata.object(&digest) {
            Ok(Some(row)) if row.key == key => {}
            Ok(_) => {
                report.litter += 1;
                report.litter_bytes += size;
            }
            Err(error) => failed = Some(error),
        }
        Ok(())
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Checks everything and takes what is damaged out of reach. The caller owns the directory. `quarantine` is handed the key of
/// each damaged object that still has bytes, and moves them away.
///
/// # Errors
/// As [`check`], and when a row cannot be changed.
pub fn repair(
    objects: &dyn Objects,
    metadata: &dyn Metadata,
    quarantine: &dyn Fn(&ObjectKey) -> Result<()>,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Report> {
    let mut report = check(objects, metadata, progress)?;
    for damage in &report.damaged {
        withdraw(metadata, &damage.digest)?;
        quarantine(&ObjectKey(damage.key.clone()))?;
    }
    // Rows that nothing uses any more would keep the next push of this digest from storing its own bytes.
    forget(metadata, &report)?;
    report.repaired = report.rows.is_empty() && report.damages == report.damaged.len() as u64;
    Ok(report)
}

/// Takes a digest out of every repository: what names it becomes sparse, and a push brings it back.
fn withdraw(metadata: &dyn Metadata, digest: &Digest) -> Result<()> {
    let now = Instant::now();
    for name in holders(metadata, digest)? {
        metadata.unlink_blob(&name, digest)?;
        metadata.delete_manifest(&name, digest, &|_| false, ACTOR, now)?;
    }
    Ok(())
}

/// Collects the rows of withdrawn objects at once, which nothing uses.
fn forget(metadata: &dyn Metadata, report: &Report) -> Result<()> {
    for damage in &report.damaged {
        metadata.forget_object(&damage.digest)?;
    }
    Ok(())
}
