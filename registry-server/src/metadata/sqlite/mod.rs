//! Metadata in SQLite: one file for names, one for uploads, and a journal of names beside them.
//!
//! [`writer`] owns the one connection that writes and commits by groups; [`reader`] holds the pool that reads.
//! Every operation is a function of one module, given the transaction or a connection. Rows: `schema/metadata.sql`.

mod blobs;
mod change;
mod check;
mod collect;
mod generation;
pub mod journal;
mod manifests;
mod outbox;
mod reader;
mod referrers;
mod repositories;
mod row;
mod schema;
mod tags;
mod upkeep;
mod uploads;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::{Descriptor, Digest, RepositoryName, Tag};

use super::{
    BlobRow, Collected, Committed, Cutoff, Edge, Error, HistoryRow, ManifestRow, Metadata, NewManifest, OutboxRow,
    Page, Quota, RepositoryRow, Result, TagRow, TagWrite, UploadRow,
};
use crate::storage::UploadId;
use crate::time::Instant;
use manifests::Deletion;

/// The file of names, below the root.
pub const DATABASE: &str = "metadata.sqlite";
/// The file of uploads.
pub const UPLOADS: &str = "uploads.sqlite";
/// The journal of names.
pub const JOURNAL: &str = "names.journal";

/// How often a deletion judges again because a tag came in between.
const JUDGEMENTS: usize = 16;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi;
        match error.sqlite_error() {
            Some(code) if code.code == ffi::ErrorCode::DiskFull => Error::Full,
            Some(code) if code.extended_code == ffi::SQLITE_IOERR_SHMSIZE => Error::Full,
            _ => Error::Database(error.to_string()),
        }
    }
}

/// The metadata of one data directory. The caller holds the directory's lock: one process owns it.
#[derive(Debug)]
pub struct SqliteMetadata {
    // First, so that it ends while the writer still answers.
    upkeep: upkeep::Upkeep,
    writer: Arc<writer::Writer>,
    readers: reader::Readers,
    generations: Arc<generation::Generations>,
    uploads: uploads::Uploads,
    path: PathBuf,
}

impl SqliteMetadata {
    /// Opens the metadata below `root`; makes it where there is none.
    ///
    /// # Errors
    /// [`Error::Version`] for data of a newer program, and for a journal without its database, which a rebuild must read
    /// before a new database is begun (move the journal away then).
    pub fn open(root: &Path) -> Result<Self> {
        let path = root.join(DATABASE);
        refuse_orphan(&path, &root.join(JOURNAL))?;
        let connection = schema::METADATA.open(&path)?;
        let recorded: i64 = connection.query_row("SELECT journal FROM totals", [], |row| row.get(0))?;
        let journal = Arc::new(journal::Journal::open(&root.join(JOURNAL), row::unsigned(recorded))?);
        let (generations, bell) = (Arc::new(generation::Generations::new()), Arc::new(upkeep::Bell::default()));
        if journal.wants_rewrite() {
            bell.ring();
        }
        let (kept, rung) = (Arc::clone(&generations), Arc::clone(&bell));
        let writer = Arc::new(writer::Writer::start(connection, Arc::clone(&journal), kept, rung)?);
        Ok(Self {
            upkeep: upkeep::Upkeep::start(bell, path.clone(), journal, Arc::clone(&writer))?,
            writer,
            readers: reader::Readers::new(&path),
            generations,
            uploads: uploads::Uploads::open(&root.join(UPLOADS))?,
            path,
        })
    }

    /// Waits until the journal of names has all that the database has.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn renew_journal(&self) -> Result<()> {
        self.upkeep.renew()
    }

    /// Writes a copy of the names as they are at one moment to the new file `to`, while others read and write.
    /// Uploads are not part of it; the journal is written anew when the copy is first opened.
    ///
    /// # Errors
    /// When `to` exists or cannot be written.
    pub fn backup(&self, to: &Path) -> Result<()> {
        let fail = |error: &dyn std::fmt::Display| Error::Database(format!("write {}: {error}", to.display()));
        let target = to.to_str().ok_or_else(|| fail(&"the path is not UTF-8"))?;
        schema::open_reader(&self.path)?.execute("VACUUM INTO ?1", [target])?;
        std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(|error| fail(&error))
    }
}

/// The objects that a copy made by [`SqliteMetadata::backup`] names, by digest. The copy is only read.
///
/// # Errors
/// When it is no such copy.
pub fn objects_of(copy: &Path, page: Page<'_>) -> Result<Vec<BlobRow>> {
    blobs::objects(&schema::open_reader(copy)?, page)
}

fn refuse_orphan(database: &Path, journal: &Path) -> Result<()> {
    let held = std::fs::metadata(journal).is_ok_and(|journal| journal.len() > 0);
    if held && !database.exists() {
        return Err(Error::Version(format!(
            "{} is gone, and {} is not: rebuild the metadata from the blobs (fsck --rebuild)",
            database.display(),
            journal.display()
        )));
    }
    Ok(())
}

impl Metadata for SqliteMetadata {
    fn check(&self) -> Result<Vec<String>> {
        self.readers.with(check::check)
    }

    fn backup(&self, to: &Path) -> Result<()> {
        Self::backup(self, to)
    }

    fn generation(&self, repository: &RepositoryName) -> u64 {
        self.generations.of(repository.as_str())
    }

    fn repositories(&self, page: Page<'_>) -> Result<Vec<RepositoryName>> {
        self.readers.with(|connection| repositories::page(connection, page))
    }

    fn repository(&self, name: &RepositoryName) -> Result<Option<RepositoryRow>> {
        self.readers.with(|connection| repositories::get(connection, name))
    }

    fn total_bytes(&self) -> Result<u64> {
        self.readers.with(repositories::total_bytes)
    }

    fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<BlobRow>> {
        self.readers.with(|connection| blobs::get(connection, repository, digest))
    }

    fn object(&self, digest: &Digest) -> Result<Option<BlobRow>> {
        self.readers.with(|connection| blobs::object(connection, digest))
    }

    fn objects(&self, page: Page<'_>) -> Result<Vec<BlobRow>> {
        self.readers.with(|connection| blobs::objects(connection, page))
    }

    fn forget_object(&self, digest: &Digest) -> Result<bool> {
        let digest = *digest;
        self.writer.run(move |change| blobs::forget(change, &digest))
    }

    fn link_blob(
        &self,
        repository: &RepositoryName,
        blob: &BlobRow,
        quotas: &[Quota],
        at: Instant,
    ) -> Result<Committed> {
        let (repository, blob, quotas) = (repository.clone(), blob.clone(), quotas.to_vec());
        self.writer.run(move |change| blobs::link(change, &repository, &blob, &quotas, at))
    }

    fn mount_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        from: &RepositoryName,
        quotas: &[Quota],
        at: Instant,
    ) -> Result<bool> {
        let (repository, from, digest, quotas) = (repository.clone(), from.clone(), *digest, quotas.to_vec());
        self.writer.run(move |change| blobs::mount(change, &repository, &digest, &from, &quotas, at))
    }

    fn holders(&self, digest: &Digest, limit: usize) -> Result<Vec<RepositoryName>> {
        self.readers.with(|connection| blobs::holders(connection, digest, limit))
    }

    fn blob_touched(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Instant>> {
        self.readers.with(|connection| blobs::touched(connection, repository, digest))
    }

    fn touch_blob(&self, repository: &RepositoryName, digest: &Digest, at: Instant) -> Result<bool> {
        let (repository, digest) = (repository.clone(), *digest);
        self.writer.run(move |change| blobs::touch(change, &repository, &digest, at))
    }

    fn unlink_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool> {
        let (repository, digest) = (repository.clone(), *digest);
        self.writer.run(move |change| blobs::unlink(change, &repository, &digest))
    }

    fn put_manifest(&self, manifest: &NewManifest) -> Result<Committed> {
        let manifest = manifest.clone();
        self.writer.run(move |change| manifests::put(change, &manifest))
    }

    fn manifest(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<ManifestRow>> {
        self.readers.with(|connection| manifests::get(connection, repository, digest))
    }

    fn touch_manifest(&self, repository: &RepositoryName, digest: &Digest, at: Instant) -> Result<bool> {
        let (repository, digest) = (repository.clone(), *digest);
        self.writer.run(move |change| manifests::touch(change, &repository, &digest, at))
    }

    fn edges(&self, repository: &RepositoryName, digest: &Digest) -> Result<Vec<Edge>> {
        self.readers.with(|connection| manifests::edges(connection, repository, digest))
    }

    /// Tags are judged here, by the caller; the transaction refuses where one came since, and they are judged again.
    fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        immutable: &dyn Fn(&Tag) -> bool,
        actor: &str,
        at: Instant,
    ) -> Result<bool> {
        for _ in 0..JUDGEMENTS {
            let judged = self.readers.with(|connection| match repositories::find(connection, repository)? {
                Some(repository) => tags::naming(connection, &repository, digest),
                None => Ok(Vec::new()),
            })?;
            if let Some(tag) = judged.iter().find(|tag| immutable(tag)) {
                return Err(Error::Immutable(tag.as_str().to_owned()));
            }
            let (repository, digest, actor) = (repository.clone(), *digest, actor.to_owned());
            let delete = move |change: &mut change::Change<'_>| {
                manifests::delete(change, &repository, &digest, &judged, &actor, at)
            };
            match self.writer.run(delete)? {
                Deletion::Done => return Ok(true),
                Deletion::Absent => return Ok(false),
                Deletion::Unjudged => {}
            }
        }
        Err(Error::Database(format!("tags of {digest} keep changing")))
    }

    fn manifests(&self, repository: &RepositoryName, page: Page<'_>) -> Result<Vec<ManifestRow>> {
        self.readers.with(|connection| manifests::page(connection, repository, page))
    }

    fn tags(&self, repository: &RepositoryName, page: Page<'_>) -> Result<Vec<TagRow>> {
        self.readers.with(|connection| tags::page(connection, repository, page))
    }

    fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<TagRow>> {
        self.readers.with(|connection| tags::get(connection, repository, tag))
    }

    fn set_tag(
        &self,
        repository: &RepositoryName,
        write: &TagWrite,
        digest: &Digest,
        actor: &str,
        at: Instant,
    ) -> Result<bool> {
        let (repository, write, digest, actor) = (repository.clone(), write.clone(), *digest, actor.to_owned());
        self.writer.run(move |change| tags::set(change, &repository, &write, &digest, &actor, at))
    }

    fn delete_tag(&self, repository: &RepositoryName, tag: &Tag, actor: &str, at: Instant) -> Result<bool> {
        let (repository, tag, actor) = (repository.clone(), tag.clone(), actor.to_owned());
        self.writer.run(move |change| tags::delete(change, &repository, &tag, None, &actor, at))
    }

    fn delete_tag_of(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        expected: &Digest,
        actor: &str,
        at: Instant,
    ) -> Result<bool> {
        let (repository, tag, expected, actor) = (repository.clone(), tag.clone(), *expected, actor.to_owned());
        self.writer.run(move |change| tags::delete(change, &repository, &tag, Some(&expected), &actor, at))
    }

    fn history(&self, repository: &RepositoryName, tag: &Tag, limit: usize) -> Result<Vec<HistoryRow>> {
        self.readers.with(|connection| tags::history(connection, repository, tag, limit))
    }

    fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        page: Page<'_>,
    ) -> Result<Vec<Descriptor>> {
        self.readers.with(|connection| referrers::page(connection, repository, subject, artifact_type, page))
    }

    fn begin_upload(&self, upload: &UploadRow) -> Result<()> {
        self.uploads.begin(upload)
    }

    fn upload(&self, id: &UploadId) -> Result<Option<UploadRow>> {
        self.uploads.get(id)
    }

    fn advance_upload(&self, id: &UploadId, offset: u64, hash_state: &[u8], at: Instant) -> Result<()> {
        self.uploads.advance(id, offset, hash_state, at)
    }

    fn end_upload(&self, id: &UploadId) -> Result<bool> {
        self.uploads.end(id)
    }

    fn stale_uploads(&self, before: Instant, limit: usize) -> Result<Vec<UploadRow>> {
        self.uploads.stale(before, limit)
    }

    fn collect(&self, cutoff: &Cutoff, dry_run: bool) -> Result<Collected> {
        let cutoff = *cutoff;
        if dry_run {
            return self.readers.with(|connection| collect::preview(connection, &cutoff));
        }
        self.writer.run(move |change| collect::step(change, &cutoff))
    }

    fn enqueue(&self, events: &[String], at: Instant) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let events = events.to_vec();
        self.writer.run(move |change| outbox::enqueue(change, &events, at))
    }

    fn due_events(&self, at: Instant, limit: usize) -> Result<Vec<OutboxRow>> {
        self.readers.with(|connection| outbox::due(connection, at, limit))
    }

    fn delivered(&self, sequences: &[i64]) -> Result<()> {
        let sequences = sequences.to_vec();
        self.writer.run(move |change| outbox::delivered(change, &sequences))
    }

    fn postpone(&self, sequences: &[i64], due: Instant) -> Result<()> {
        let sequences = sequences.to_vec();
        self.writer.run(move |change| outbox::postpone(change, &sequences, due))
    }

    fn pending_events(&self) -> Result<u64> {
        self.readers.with(outbox::pending)
    }
}

#[cfg(test)]
mod figures;
#[cfg(test)]
mod tests;
