//! What is known about the bytes: repositories, tags and their history, manifests and their edges,
//! referrers, uploads, leases, events to deliver. One trait of domain operations, each one transaction.
//!
//! **Visible is what has a row.** A blob is visible in a repository by its link; its row names the object.
//! **Leases are times.** Whatever a client was told is present (`HEAD`, mount, finished upload) is touched,
//! and nothing that was touched after the cutoff is collected. **References are counted** in the transaction that makes or
//! breaks them: a manifest's row counts for every blob and manifest that it names *in its repository*. What has no
//! references is found by index, so that a collection costs what it collects.
//!
//! Blocking: callers run it off the reactor. Writers may be batched: a method returns when its own transaction
//! is durable (uploads excepted: they survive a killed process, not a lost machine).

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(test)]
mod model;
pub mod sqlite;

pub use sqlite::SqliteMetadata;

use oci::{Algorithm, Descriptor, Digest, RepositoryName, Tag};

use crate::storage::{ObjectKey, UploadId};
use crate::time::Instant;

/// What can go wrong with metadata.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A manifest names what its repository does not hold.
    #[error("the manifest references {0:?}, which this repository does not hold")]
    Absent(Vec<Digest>),
    /// The tag exists and may not move.
    #[error("tag {0} exists and is immutable")]
    Immutable(String),
    /// The tag exists and the caller may only make new ones.
    #[error("tag {0} exists, and updating it is not allowed")]
    UpdateDenied(String),
    /// The write would take more than its prefix may hold.
    #[error("the quota of `{prefix}` is {limit} bytes, and {used} are used")]
    Quota {
        /// The prefix of repositories.
        prefix: String,
        /// What they may hold together.
        limit: u64,
        /// What they hold.
        used: u64,
    },
    /// No room is left on the disk.
    #[error("no space left for the metadata")]
    Full,
    /// The data was written by a newer program, or cannot be migrated.
    #[error("{0}")]
    Version(String),
    /// The database failed.
    #[error("metadata: {0}")]
    Database(String),
}

/// The result of a metadata operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A blob's row: the bytes that all repositories share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRow {
    /// What it hashes to.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where its bytes are.
    pub key: ObjectKey,
}

/// A limit on what the repositories below a prefix hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// `""` for all, else a repository name that stands for itself and whatever is below `name/`.
    pub prefix: String,
    /// Bytes; a blob linked by two repositories counts in each.
    pub limit: u64,
}

/// Which of two equal commits won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// The given key is the blob's.
    Stored,
    /// The digest was there already, under another key: remove the given one.
    Existed(ObjectKey),
}

/// What a reference of a manifest is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EdgeKind {
    /// The configuration.
    Config,
    /// A layer, or another blob.
    Layer,
    /// A manifest listed by an index.
    Manifest,
}

/// One reference of a manifest. Its subject is not one: it pins nothing and may be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// What for.
    pub kind: EdgeKind,
    /// To what.
    pub digest: Digest,
    /// Its size as the manifest says.
    pub size: u64,
    /// Whether its absence is no error (a foreign layer, which is fetched from elsewhere).
    pub optional: bool,
}

/// A manifest to be stored.
#[derive(Debug, Clone)]
pub struct NewManifest {
    /// Where.
    pub repository: RepositoryName,
    /// Its bytes' row: already durable in the storage.
    pub blob: BlobRow,
    /// Its content type, exactly.
    pub media_type: String,
    /// Its artifact type; the config's media type where it has none of its own.
    pub artifact_type: Option<String>,
    /// Its annotations, as the referrers list shows them, a JSON object.
    pub annotations: Option<String>,
    /// What it refers to.
    pub subject: Option<Digest>,
    /// What it references.
    pub edges: Vec<Edge>,
    /// Tags to move onto it, in the same transaction.
    pub tags: Vec<TagWrite>,
    /// Whether references may be absent.
    pub allow_sparse: bool,
    /// Limits that hold here.
    pub quotas: Vec<Quota>,
    /// Who does it, for the history.
    pub actor: String,
    /// When.
    pub at: Instant,
}

/// How a tag may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagWrite {
    /// The tag.
    pub tag: Tag,
    /// What to do where it exists with another digest.
    pub existing: Existing,
}

/// What a tag's being there means. Decided inside the transaction, so that no race slips past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It moves.
    Move,
    /// [`Error::UpdateDenied`]: the caller may create but not update.
    Deny,
    /// [`Error::Immutable`].
    Immutable,
}

/// A manifest's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRow {
    /// Its bytes.
    pub blob: BlobRow,
    /// Its content type, exactly.
    pub media_type: String,
    /// Its artifact type, or its config's media type.
    pub artifact_type: Option<String>,
    /// What it refers to.
    pub subject: Option<Digest>,
    /// When it was first pushed here.
    pub created: Instant,
    /// When its lease was last renewed.
    pub touched: Instant,
}

/// A tag's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    /// The tag.
    pub tag: Tag,
    /// What it names.
    pub digest: Digest,
    /// Since when.
    pub updated: Instant,
}

/// One entry of a tag's history, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Rises with time.
    pub sequence: i64,
    /// What the tag came to name; `None` when it was deleted.
    pub digest: Option<Digest>,
    /// When.
    pub at: Instant,
    /// By whom.
    pub actor: String,
}

/// What a repository holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRow {
    /// Its name.
    pub name: RepositoryName,
    /// When it got its first content.
    pub created: Instant,
    /// Bytes of its blobs and manifests, each digest once.
    pub bytes: u64,
    /// How many tags.
    pub tags: u64,
    /// How many manifests.
    pub manifests: u64,
}

/// An upload's row: all that another process, or another replica, needs to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// Its name.
    pub id: UploadId,
    /// Where it goes.
    pub repository: RepositoryName,
    /// Who began it; nobody else may go on.
    pub owner: String,
    /// What it will be hashed with.
    pub algorithm: Algorithm,
    /// How many bytes `hash_state` has seen.
    pub offset: u64,
    /// The hasher after `offset` bytes ([`oci::Hasher::save`]).
    pub hash_state: Vec<u8>,
    /// When it began.
    pub started: Instant,
    /// When it last moved.
    pub touched: Instant,
}

/// What one step of a collection may take.
#[derive(Debug, Clone, Copy)]
pub struct Cutoff {
    /// Blobs (links and objects) without references, untouched since then.
    pub blobs: Instant,
    /// Manifests without tag, parent or present subject, untouched since then. `None`: they stay.
    pub manifests: Option<Instant>,
    /// At most so many rows in one transaction.
    pub limit: usize,
}

/// What a step of a collection took, or with `dry_run` would take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests that went, by repository.
    pub manifests: Vec<(RepositoryName, Digest)>,
    /// Links of blobs that went, by repository.
    pub links: Vec<(RepositoryName, Digest)>,
    /// Objects that nothing names any more, their rows gone: the caller removes the bytes.
    pub objects: Vec<BlobRow>,
}

/// An event to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Rises with time.
    pub sequence: i64,
    /// The CloudEvent as JSON.
    pub event: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Not before then.
    pub due: Instant,
}

/// A page of a list: what comes after `after`, at most `limit` of it.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Exclusive; `None` from the start.
    pub after: Option<&'a str>,
    /// At most so many.
    pub limit: usize,
}

/// What is known. Every backend passes `conformance::run`.
pub trait Metadata: Send + Sync {
    /// Rises with every write to the tags or manifests of a repository (and of those it shares a stripe with):
    /// what a cache compares before it believes itself. Costs no I/O.
    fn generation(&self, repository: &RepositoryName) -> u64;

    // --- as a whole

    /// What of it does not agree with itself, in sentences; empty where all does. Reads everything: for checks.
    fn check(&self) -> Result<Vec<String>>;
    /// Writes a copy of one moment to the new file `to`, durably, while others read and write. Uploads are not part of it.
    fn backup(&self, to: &std::path::Path) -> Result<()>;

    // --- repositories

    /// Names in ASCII order.
    fn repositories(&self, page: Page<'_>) -> Result<Vec<RepositoryName>>;
    /// One repository; `None` where nothing was ever stored, or all is gone.
    fn repository(&self, name: &RepositoryName) -> Result<Option<RepositoryRow>>;
    /// Bytes of all objects, each once.
    fn total_bytes(&self) -> Result<u64>;

    // --- blobs

    /// A blob that is visible in a repository (by link, not as a manifest).
    fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<BlobRow>>;
    /// Blobs and manifests that are present anywhere. For checks.
    fn object(&self, digest: &Digest) -> Result<Option<BlobRow>>;
    /// All of them, by digest. For checks and backups.
    fn objects(&self, page: Page<'_>) -> Result<Vec<BlobRow>>;
    /// Forgets an object that no repository holds, whatever its lease: its bytes are damaged. `false` where one holds it.
    fn forget_object(&self, digest: &Digest) -> Result<bool>;
    /// Makes a committed object visible in a repository, and leases it.
    fn link_blob(
        &self,
        repository: &RepositoryName,
        blob: &BlobRow,
        quotas: &[Quota],
        at: Instant,
    ) -> Result<Committed>;
    /// Makes a blob of `from` visible in `repository`, and leases it. `false` where `from` does not hold it.
    fn mount_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        from: &RepositoryName,
        quotas: &[Quota],
        at: Instant,
    ) -> Result<bool>;
    /// Repositories that hold a blob, at most `limit`.
    fn holders(&self, digest: &Digest, limit: usize) -> Result<Vec<RepositoryName>>;
    /// When a blob's lease was last renewed; `None` where it is not there.
    fn blob_touched(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Instant>>;
    /// Renews a lease that is older than `every`; a younger one costs a read. `false` where it is not there any more.
    fn renew_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        at: Instant,
        every: std::time::Duration,
    ) -> Result<bool> {
        match self.blob_touched(repository, digest)? {
            None => Ok(false),
            Some(touched) if touched.after(every) >= at => Ok(true),
            Some(_) => self.touch_blob(repository, digest, at),
        }
    }
    /// Renews the lease of what a caller was told is there, by a durable write. `false` where it is not there any more: say so.
    fn touch_blob(&self, repository: &RepositoryName, digest: &Digest, at: Instant) -> Result<bool>;
    /// Takes a blob out of a repository. `false` where it is not there. Manifests that name it become sparse.
    fn unlink_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool>;

    // --- manifests and tags

    /// Stores a manifest, pins what it references, moves its tags: one transaction.
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::Immutable`], [`Error::UpdateDenied`], [`Error::Quota`]: nothing was written then.
    fn put_manifest(&self, manifest: &NewManifest) -> Result<Committed>;
    /// A manifest by digest.
    fn manifest(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<ManifestRow>>;
    /// Renews a manifest's lease that is older than `every`; a younger one costs a read. `false` where it is gone.
    fn renew_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        at: Instant,
        every: std::time::Duration,
    ) -> Result<bool> {
        match self.manifest(repository, digest)? {
            None => Ok(false),
            Some(row) if row.touched.after(every) >= at => Ok(true),
            Some(_) => self.touch_manifest(repository, digest, at),
        }
    }
    /// Renews a manifest's lease, by a durable write; `false` where it is gone.
    fn touch_manifest(&self, repository: &RepositoryName, digest: &Digest, at: Instant) -> Result<bool>;
    /// What a manifest references, in its order.
    fn edges(&self, repository: &RepositoryName, digest: &Digest) -> Result<Vec<Edge>>;
    /// Removes a manifest and the tags that name it. `false` where there is none. Immutable tags forbid it where `immutable` says so.
    fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        immutable: &dyn Fn(&Tag) -> bool,
        actor: &str,
        at: Instant,
    ) -> Result<bool>;
    /// Manifests of a repository by digest, in order.
    fn manifests(&self, repository: &RepositoryName, page: Page<'_>) -> Result<Vec<ManifestRow>>;
    /// Tags in ASCII order.
    fn tags(&self, repository: &RepositoryName, page: Page<'_>) -> Result<Vec<TagRow>>;
    /// One tag.
    fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<TagRow>>;
    /// Moves or makes a tag onto a manifest that is there; `false` where it is not. (Undo.)
    fn set_tag(
        &self,
        repository: &RepositoryName,
        write: &TagWrite,
        digest: &Digest,
        actor: &str,
        at: Instant,
    ) -> Result<bool>;
    /// Removes a tag, not what it names. `false` where there is none.
    fn delete_tag(&self, repository: &RepositoryName, tag: &Tag, actor: &str, at: Instant) -> Result<bool>;
    /// Removes a tag that names `expected`; `false` where it names something else by now, or is gone.
    fn delete_tag_of(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        expected: &Digest,
        actor: &str,
        at: Instant,
    ) -> Result<bool>;
    /// What a tag has named, newest first.
    fn history(&self, repository: &RepositoryName, tag: &Tag, limit: usize) -> Result<Vec<HistoryRow>>;
    /// Manifests whose subject is `subject`, by digest, with what the referrers list shows.
    fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        page: Page<'_>,
    ) -> Result<Vec<Descriptor>>;

    // --- uploads

    /// Remembers a new upload.
    fn begin_upload(&self, upload: &UploadRow) -> Result<()>;
    /// An upload.
    fn upload(&self, id: &UploadId) -> Result<Option<UploadRow>>;
    /// Remembers how far an upload came.
    fn advance_upload(&self, id: &UploadId, offset: u64, hash_state: &[u8], at: Instant) -> Result<()>;
    /// Forgets an upload. `false` where there is none: somebody else ended it.
    fn end_upload(&self, id: &UploadId) -> Result<bool>;
    /// Uploads that have not moved since `before`, at most `limit`.
    fn stale_uploads(&self, before: Instant, limit: usize) -> Result<Vec<UploadRow>>;

    // --- collection

    /// One bounded step. With `dry_run` nothing is written, and the whole answer is given at once.
    fn collect(&self, cutoff: &Cutoff, dry_run: bool) -> Result<Collected>;

    // --- events

    /// Adds events; those of a write that the caller just made.
    fn enqueue(&self, events: &[String], at: Instant) -> Result<()>;
    /// Events that are due, oldest first.
    fn due_events(&self, at: Instant, limit: usize) -> Result<Vec<OutboxRow>>;
    /// Forgets delivered events.
    fn delivered(&self, sequences: &[i64]) -> Result<()>;
    /// Tries again later; counts an attempt for each.
    fn postpone(&self, sequences: &[i64], due: Instant) -> Result<()>;
    /// How many events wait, due or not.
    fn pending_events(&self) -> Result<u64>;
}
