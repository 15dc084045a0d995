//! A session, opened for a request and given up: what blocks, and so is done off the reactor.

use std::sync::{Arc, PoisonError};

use http::{HeaderValue, StatusCode, header};
use oci::{Algorithm, Digest, ErrorCode, Hasher};

use super::session::{Claim, Sessions};
use super::sink::Sink;
use super::{Chunk, Opened, Target, Uploads, location, saved};
use crate::auth::Push;
use crate::metadata::{BlobRow, Metadata, UploadRow};
use crate::range;
use crate::refusal::{Refusal, Result};
use crate::storage::UploadId;

/// What is hashed again after a change of algorithm or another boot is read in pieces of this size.
const REHASH_PIECE: usize = 1 << 20;

impl Uploads {
    /// Counts a new session. Where there is no place for it, those that have ended without us (they expired) are counted out first.
    pub(super) fn admit(&self, id: &UploadId, owner: &str) -> Result<()> {
        let Err(refusal) = self.sessions.begin(id, owner) else { return Ok(()) };
        for known in self.sessions.idle() {
            if self.metadata.upload(&known)?.is_none() {
                drop(Sessions::claim(&self.sessions, &known).map(Claim::end));
            }
        }
        self.sessions.begin(id, owner).map_err(|_| refusal)
    }

    pub(super) fn row(&self, push: &Push, id: &UploadId) -> Result<UploadRow> {
        let row = self.metadata.upload(id)?;
        row.filter(|row| row.repository == *push.repository() && row.owner == push.actor()).ok_or_else(unknown)
    }

    /// Claims a session for a request that says `chunk` of its body.
    pub(super) fn open(&self, push: &Push, id: &UploadId, chunk: &Chunk) -> Result<Sink> {
        let claim = Sessions::claim(&self.sessions, id)?;
        let row = self.row(push, id)?;
        let offset = self.offset(&row)?;
        check_order(push, id, offset, chunk)?;
        self.room.check(chunk.length.unwrap_or_default())?;
        let hasher = match saved::restore(&self.boot, &row) {
            Some(hasher) if hasher.size() == offset => hasher,
            _ => self.rehash(id, row.algorithm, offset)?,
        };
        Ok(self.sink(claim, hasher, row.algorithm, chunk, Some(Arc::clone(&self.metadata))))
    }

    /// How many bytes of a session are there, those included that a killed process had committed and not linked. The
    /// caller has the claim: no commit is under way.
    pub(super) fn offset(&self, row: &UploadRow) -> Result<u64> {
        if let Some(length) = self.objects.length(&row.id)? {
            return Ok(row.offset.min(length));
        }
        let Some(digest) = saved::target(row) else { return Ok(0) };
        if self.linked(&row.id, &digest)?.is_some() {
            return Err(unknown());
        }
        if !self.objects.recall(&row.id, &self.objects.key(&row.id, &digest))? {
            return Ok(0);
        }
        Ok(row.offset.min(self.objects.length(&row.id)?.unwrap_or_default()))
    }

    /// The blob that a session became, where a process was killed after that and before the session's end.
    fn linked(&self, id: &UploadId, digest: &Digest) -> Result<Option<BlobRow>> {
        let key = self.objects.key(id, digest);
        Ok(self.metadata.object(digest)?.filter(|blob| blob.key == key))
    }

    /// [`Uploads::open`]; or the blob, where the session became it already and its client was not told.
    pub(super) fn open_to_finish(&self, push: &Push, id: &UploadId, chunk: &Chunk, target: &Target) -> Result<Opened> {
        let refusal = match self.open(push, id, chunk) {
            Ok(sink) => return Ok(Opened::Going(Box::new(sink))),
            Err(refusal) if refusal.code == Some(ErrorCode::BlobUploadUnknown) => refusal,
            Err(refusal) => return Err(refusal),
        };
        let claim = Sessions::claim(&self.sessions, id)?;
        let row = self.row(push, id)?;
        if saved::target(&row) != Some(target.digest) {
            return Err(refusal);
        }
        let blob = self.linked(id, &target.digest)?.ok_or(refusal)?;
        self.metadata.end_upload(id)?;
        claim.end();
        Ok(Opened::Done(blob))
    }

    pub(super) fn sink(
        &self,
        claim: Claim,
        hasher: Hasher,
        algorithm: Algorithm,
        chunk: &Chunk,
        metadata: Option<Arc<dyn Metadata>>,
    ) -> Sink {
        let announced = chunk.range.as_ref().map(|range| range.end - range.start);
        Sink {
            objects: Arc::clone(&self.objects),
            metadata,
            room: Arc::clone(&self.room),
            boot: self.boot.clone(),
            saved: hasher.size(),
            end: announced.map(|bytes| hasher.size().saturating_add(bytes)),
            expected: announced.or(chunk.length).unwrap_or_default(),
            claim,
            hasher,
            algorithm,
            writer: None,
        }
    }

    /// Hashes the first `size` bytes that a session holds.
    pub(super) fn rehash(&self, id: &UploadId, algorithm: Algorithm, size: u64) -> Result<Hasher> {
        use std::os::unix::fs::FileExt as _;
        let mut hasher = Hasher::new(algorithm);
        if size == 0 {
            return Ok(hasher);
        }
        let _one = self.rehashing.lock().unwrap_or_else(PoisonError::into_inner);
        let object = self.objects.partial(id)?;
        let mut piece = vec![0; REHASH_PIECE];
        while hasher.size() < size {
            let want = usize::try_from(size - hasher.size()).unwrap_or(REHASH_PIECE).min(REHASH_PIECE);
            object.file.read_exact_at(&mut piece[..want], hasher.size()).map_err(Refusal::internal)?;
            hasher.update(&piece[..want]);
        }
        Ok(hasher)
    }

    pub(super) fn discard(&self, mut sink: Sink) -> Result<()> {
        sink.writer = None;
        self.objects.abort(sink.claim.id())?;
        if sink.metadata.is_some() {
            self.metadata.end_upload(sink.claim.id())?;
        }
        sink.claim.end();
        Ok(())
    }
}

/// A chunk begins where the session ends, and is as long as it says.
fn check_order(push: &Push, id: &UploadId, offset: u64, chunk: &Chunk) -> Result<()> {
    let Some(range) = &chunk.range else { return Ok(()) };
    if range.start != offset {
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        let message = format!("the upload holds {offset} bytes, and the chunk begins at {}", range.start);
        let mut refusal = Refusal::new(status, ErrorCode::BlobUploadInvalid, message);
        for (name, value) in [(header::LOCATION, location(push, id)), (header::RANGE, range::held(offset))] {
            if let Ok(value) = HeaderValue::try_from(value) {
                refusal = refusal.with(name, value);
            }
        }
        return Err(refusal);
    }
    match chunk.length {
        Some(length) if length != range.end - range.start => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::SizeInvalid,
            format!("Content-Range announces {} bytes and Content-Length {length}", range.end - range.start),
        )),
        _ => Ok(()),
    }
}

fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown, "no such upload: begin a new one")
}
