//! Uploads: from a request's body to a blob.
//!
//! A session is a row ([`UploadRow`]) and, from its first byte on, a place in the storage. A request that works on it holds
//! its [`Claim`]; frames are received on the reactor while a blocking thread writes and hashes those before
//! ([`intake`]). How far the session came, with the state of its hasher, is saved at the end of every request, when
//! a connection drops, and every [`SAVE_EVERY`] bytes: whoever comes back goes on from there, in another process too. What a
//! killed process had written beyond is cut off. After another boot the hasher's state is not believed, for the
//! file may not be what was hashed: it is hashed again.
//!
//! A finished upload is verified, committed, linked, in this order, and then its session ends. One whose bytes do not match
//! their digest ends as well, as in other registries: its bytes are of no use.
//! The work of a request goes on where its client leaves, so that nothing is left half done.

mod finish;
mod intake;
mod open;
mod saved;
mod session;
mod sink;

use std::sync::{Arc, Mutex};

use oci::{Algorithm, Digest, Hasher};

use crate::auth::Push;
use crate::config::Limits;
use crate::metadata::{self, BlobRow, Metadata, Quota, UploadRow};
use crate::refusal::{Refusal, Result};
use crate::storage::{Objects, Storage, UploadId};
use crate::time::Instant;

pub use intake::Incoming;
use intake::Intake;
pub use session::Counts;
use session::{Claim, Sessions};
use sink::{Room, Sink};

/// Bytes between two savings of a session while a request goes on: what a killed server makes its client send again.
const SAVE_EVERY: u64 = 16 << 20;

/// Blocking threads that write and hash at once, a core: they wait for the disk now and then.
const WORKERS_PER_CORE: usize = 2;

/// What a request says of its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Its `Content-Range`; absent where the body is whatever comes next.
    pub range: Option<std::ops::Range<u64>>,
    /// Its `Content-Length`.
    pub length: Option<u64>,
    /// Whether the client waits with it until it is asked to go on (`Expect`): a refusal need not hear it out.
    pub waits: bool,
}

/// What the bytes of an upload shall become.
#[derive(Clone)]
pub struct Target {
    /// What they have to hash to.
    pub digest: Digest,
    /// Limits that hold for the repository.
    pub quotas: Vec<Quota>,
    /// What the client is told when the metadata refuses the blob. Blocking.
    pub refuse: Arc<dyn Fn(metadata::Error) -> Refusal + Send + Sync>,
}

/// A session that shall be finished.
enum Opened {
    /// It can be.
    Going(Box<Sink>),
    /// It was.
    Done(BlobRow),
}

/// All uploads of a registry.
pub struct Uploads {
    objects: Arc<dyn Objects>,
    metadata: Arc<dyn Metadata>,
    sessions: Arc<Sessions>,
    intake: Intake,
    room: Arc<Room>,
    boot: String,
    /// Files that are being read to be hashed again: long work, so that only few may do it at once.
    rehashing: Mutex<()>,
}

impl Uploads {
    /// The uploads of `objects` and `metadata`, those from before included. Blocking, and short: it reads one small table.
    pub fn new(
        objects: Arc<dyn Objects>,
        metadata: Arc<dyn Metadata>,
        storage: &Storage,
        limits: &Limits,
    ) -> Arc<Self> {
        let sessions = Sessions::new(limits.uploads_per_principal, limits.uploads_total_bytes.map(|size| size.get()));
        match metadata.stale_uploads(Instant(i64::MAX), usize::MAX >> 1) {
            Ok(rows) => rows.iter().for_each(|row| sessions.restore(&row.id, &row.owner, row.offset)),
            Err(error) => tracing::error!(%error, "the uploads from before cannot be counted"),
        }
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Arc::new(Self {
            room: Arc::new(Room::new(Arc::clone(&objects), storage.reserve.get())),
            intake: Intake::new(cores * WORKERS_PER_CORE),
            sessions: Arc::new(sessions),
            boot: store::boot_id().unwrap_or_default(),
            rehashing: Mutex::new(()),
            objects,
            metadata,
        })
    }

    /// How many sessions there are and what they hold.
    pub fn counts(&self) -> Counts {
        self.sessions.counts()
    }

    /// Begins a session.
    ///
    /// # Errors
    /// 429 where the caller has too many, 507 where the disk is full.
    pub async fn begin(self: &Arc<Self>, push: &Push, algorithm: Algorithm) -> Result<UploadId> {
        let (uploads, push) = (Arc::clone(self), push.clone());
        blocking(move || {
            uploads.room.check(1)?;
            let id = UploadId::random()?;
            let now = Instant::now();
            uploads.admit(&id, push.actor())?;
            let row = UploadRow {
                id: id.clone(),
                repository: push.repository().clone(),
                owner: push.actor().to_owned(),
                algorithm,
                offset: 0,
                hash_state: Vec::new(),
                started: now,
                touched: now,
            };
            if let Err(error) = uploads.metadata.begin_upload(&row) {
                drop(Sessions::claim(&uploads.sessions, &id).map(Claim::end));
                return Err(error.into());
            }
            Ok(id)
        })
        .await
    }

    /// How many bytes a session holds.
    ///
    /// # Errors
    /// 404 for what is no session of this caller in this repository.
    pub async fn status(self: &Arc<Self>, push: &Push, id: &UploadId) -> Result<u64> {
        let (uploads, push, id) = (Arc::clone(self), push.clone(), id.clone());
        blocking(move || {
            let claim = Sessions::claim(&uploads.sessions, &id);
            let row = uploads.row(&push, &id)?;
            match claim {
                Ok(_claim) => uploads.offset(&row),
                // Another request is at it.
                Err(_) => Ok(row.offset),
            }
        })
        .await
    }

    /// Appends a body to a session; gives how many bytes it holds then.
    ///
    /// # Errors
    /// 404 for what is no session of this caller in this repository, 409 while another request appends, 416 out of order,
    /// 400 where the body is not as long as announced, 507 on a full disk. What came is kept.
    pub async fn append<B: Incoming>(
        self: &Arc<Self>,
        push: &Push,
        id: &UploadId,
        chunk: Chunk,
        mut body: B,
    ) -> Result<u64> {
        let (uploads, push, id) = (Arc::clone(self), push.clone(), id.clone());
        detached(async move {
            let waits = chunk.waits;
            let done = uploads.append_here(push, id, chunk, &mut body).await;
            intake::linger(done, &mut body, waits).await
        })
        .await
    }

    async fn append_here<B: Incoming>(
        self: Arc<Self>,
        push: Push,
        id: UploadId,
        chunk: Chunk,
        body: &mut B,
    ) -> Result<u64> {
        let uploads = Arc::clone(&self);
        let sink = blocking(move || uploads.open(&push, &id, &chunk)).await?;
        let (sink, received) = self.intake.receive(sink, body).await?;
        let offset = keep(sink).await?;
        received.map(|()| offset)
    }

    /// Appends a body to a session, verifies all of it and makes it a blob of the session's repository.
    ///
    /// # Errors
    /// As [`Uploads::append`]; 400 where the bytes are not those of `digest`, 403 where a quota is used up: the session is gone then.
    pub async fn finish<B: Incoming>(
        self: &Arc<Self>,
        push: &Push,
        id: &UploadId,
        chunk: Chunk,
        mut body: B,
        target: Target,
    ) -> Result<BlobRow> {
        let (uploads, push, id) = (Arc::clone(self), push.clone(), id.clone());
        detached(async move {
            let waits = chunk.waits;
            let done = uploads.finish_here(push, id, chunk, &mut body, target).await;
            intake::linger(done, &mut body, waits).await
        })
        .await
    }

    async fn finish_here<B: Incoming>(
        self: Arc<Self>,
        push: Push,
        id: UploadId,
        chunk: Chunk,
        body: &mut B,
        target: Target,
    ) -> Result<BlobRow> {
        let uploads = Arc::clone(&self);
        if let Some(bytes) = intake::small(body, &chunk).await? {
            return blocking(move || {
                let mut sink = match uploads.open_to_finish(&push, &id, &chunk, &target)? {
                    Opened::Going(sink) if sink.offset() == 0 => {
                        return uploads.store_small(*sink, &push, &bytes, &target);
                    }
                    Opened::Going(sink) => *sink,
                    Opened::Done(blob) => return Ok(blob),
                };
                sink.take(&[bytes])?;
                uploads.seal(sink, &push, &target)
            })
            .await;
        }
        let (owner, wanted) = (push.clone(), target.clone());
        let opened = blocking(move || uploads.open_to_finish(&owner, &id, &chunk, &wanted)).await?;
        let sink = match opened {
            Opened::Going(sink) => *sink,
            Opened::Done(blob) => return Ok(blob),
        };
        let (sink, received) = self.intake.receive(sink, body).await?;
        if let Err(refusal) = received {
            keep(sink).await?;
            return Err(refusal);
        }
        blocking(move || self.seal(sink, &push, &target)).await
    }

    /// Stores a blob that comes as the body of one request. Nothing is left of one that does not arrive.
    ///
    /// # Errors
    /// As [`Uploads::finish`].
    pub async fn whole<B: Incoming>(
        self: &Arc<Self>,
        push: &Push,
        chunk: Chunk,
        mut body: B,
        target: Target,
    ) -> Result<BlobRow> {
        let (uploads, push) = (Arc::clone(self), push.clone());
        detached(async move {
            let waits = chunk.waits;
            let done = uploads.whole_here(push, chunk, &mut body, target).await;
            intake::linger(done, &mut body, waits).await
        })
        .await
    }

    async fn whole_here<B: Incoming>(
        self: Arc<Self>,
        push: Push,
        chunk: Chunk,
        body: &mut B,
        target: Target,
    ) -> Result<BlobRow> {
        let algorithm = target.digest.algorithm();
        self.room.check(chunk.length.unwrap_or(1))?;
        let id = UploadId::random()?;
        let (uploads, owner, named) = (Arc::clone(&self), push.actor().to_owned(), id.clone());
        blocking(move || uploads.admit(&named, &owner)).await?;
        let claim = Sessions::claim(&self.sessions, &id)?.transient();
        let sink = self.sink(claim, Hasher::new(algorithm), algorithm, &chunk, None);
        if let Some(bytes) = intake::small(body, &chunk).await? {
            return blocking(move || self.store_small(sink, &push, &bytes, &target)).await;
        }
        let (sink, received) = self.intake.receive(sink, body).await?;
        blocking(move || match received {
            Ok(()) => self.seal(sink, &push, &target),
            Err(refusal) => {
                self.discard(sink)?;
                Err(refusal)
            }
        })
        .await
    }

    /// Ends a session and forgets its bytes.
    ///
    /// # Errors
    /// 404 for what is no session of this caller in this repository, 409 while another request appends.
    pub async fn cancel(self: &Arc<Self>, push: &Push, id: &UploadId) -> Result<()> {
        let (uploads, push, id) = (Arc::clone(self), push.clone(), id.clone());
        blocking(move || {
            let claim = Sessions::claim(&uploads.sessions, &id)?;
            uploads.row(&push, &id)?;
            uploads.objects.abort(&id)?;
            uploads.metadata.end_upload(&id)?;
            claim.end();
            Ok(())
        })
        .await
    }
}

/// Where a session is.
pub fn location(push: &Push, id: &UploadId) -> String {
    format!("/v2/{}/blobs/uploads/{}", push.repository(), id.as_str())
}

/// Runs what blocks off the reactor.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let span = tracing::Span::current();
    let done = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
    done.unwrap_or_else(|error| Err(Refusal::internal(error)))
}

/// Runs the work of a request in a task of its own: the connection drops the request when it ends, but what came until then
/// is to be kept.
async fn detached<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    use tracing::Instrument as _;
    tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| Err(Refusal::internal(error)))
}

/// Saves how far a session came; gives how far.
async fn keep(mut sink: Sink) -> Result<u64> {
    blocking(move || {
        sink.save()?;
        Ok(sink.offset())
    })
    .await
}

#[cfg(test)]
mod tests;
