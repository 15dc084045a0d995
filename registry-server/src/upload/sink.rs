//! Where the bytes of an upload go: into its file, its hasher, and its session's account.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use http::StatusCode;
use oci::{Algorithm, Digest, ErrorCode, Hasher};

use super::session::Claim;
use super::{SAVE_EVERY, saved};
use crate::metadata::Metadata;
use crate::refusal::{Refusal, Result};
use crate::storage::{self, ObjectWriter, Objects};
use crate::time::Instant;

/// A session that a request works on. Blocking.
pub(super) struct Sink {
    pub(super) objects: Arc<dyn Objects>,
    /// Where the session's row is; `None` for an upload of one request, which has none.
    pub(super) metadata: Option<Arc<dyn Metadata>>,
    pub(super) room: Arc<Room>,
    pub(super) boot: String,
    pub(super) claim: Claim,
    pub(super) hasher: Hasher,
    pub(super) algorithm: Algorithm,
    /// Opened by the first byte.
    pub(super) writer: Option<Box<dyn ObjectWriter>>,
    /// The offset that the row has.
    pub(super) saved: u64,
    /// Where the request's `Content-Range` ends.
    pub(super) end: Option<u64>,
    /// Bytes that the request announces.
    pub(super) expected: u64,
}

impl Sink {
    /// How many bytes the session holds.
    pub(super) fn offset(&self) -> u64 {
        self.hasher.size()
    }

    /// Writes and hashes frames, in this order, so that what is hashed is always there.
    ///
    /// # Errors
    /// 507 without room, 429 where unfinished uploads hold too much, 400 for more than the range; what came before stays.
    pub(super) fn take(&mut self, frames: &[Bytes]) -> Result<()> {
        for frame in frames {
            let fits = self.end.map_or(u64::MAX, |end| end.saturating_sub(self.offset()));
            let frame = &frame[..usize::try_from(fits).unwrap_or(usize::MAX).min(frame.len())];
            self.room.take(frame.len() as u64)?;
            self.claim.holds(self.offset() + frame.len() as u64)?;
            self.writer()?.append(frame)?;
            self.hasher.update(frame);
        }
        if self.offset() - self.saved >= SAVE_EVERY {
            self.save()?;
        }
        Ok(())
    }

    /// Whether all of the range came.
    ///
    /// # Errors
    /// 400 where not.
    pub(super) fn complete(&self, received: u64) -> Result<()> {
        let Some(end) = self.end else { return Ok(()) };
        let begun = end - self.expected;
        if begun + received == end {
            return Ok(());
        }
        let message = format!("Content-Range announces {} bytes, and {received} came", self.expected);
        Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid, message))
    }

    fn writer(&mut self) -> storage::Result<&mut dyn ObjectWriter> {
        if self.writer.is_none() {
            let (id, offset) = (self.claim.id(), self.offset());
            let opened = match self.objects.writer(id, offset) {
                Err(storage::Error::Missing(_)) if offset == 0 => {
                    self.objects.begin(id)?;
                    self.objects.writer(id, 0)
                }
                opened => opened,
            };
            self.writer.insert(opened?).expect(self.expected);
        }
        match &mut self.writer {
            Some(writer) => Ok(writer.as_mut()),
            None => Err(storage::Error::Missing(self.claim.id().as_str().to_owned())),
        }
    }

    /// Remembers how far the session came.
    ///
    /// # Errors
    /// When the metadata fails.
    pub(super) fn save(&mut self) -> Result<()> {
        if self.saved == self.offset() { Ok(()) } else { self.remember(None) }
    }

    /// Remembers how far the session came and, before its bytes are committed, under which digest they will be.
    ///
    /// # Errors
    /// When the metadata fails.
    pub(super) fn remember(&mut self, target: Option<&Digest>) -> Result<()> {
        let Some(metadata) = &self.metadata else { return Ok(()) };
        let state = saved::save(&self.boot, target, &self.hasher);
        metadata.advance_upload(self.claim.id(), self.offset(), &state, Instant::now())?;
        self.saved = self.offset();
        Ok(())
    }
}

/// What the disk has left beyond the configured reserve, asked for now and then.
pub(super) struct Room {
    objects: Arc<dyn Objects>,
    reserve: u64,
    left: Mutex<Option<(Clock, u64)>>,
}

/// For how long an answer of the file system is believed.
const FRESH: Duration = Duration::from_millis(250);

impl Room {
    pub(super) fn new(objects: Arc<dyn Objects>, reserve: u64) -> Self {
        Self { objects, reserve, left: Mutex::new(None) }
    }

    /// Whether so many more bytes would fit; none always do, so that what is there can be finished.
    ///
    /// # Errors
    /// [`storage::Error::Full`] where not.
    pub(super) fn check(&self, bytes: u64) -> storage::Result<()> {
        self.change(bytes, 0)
    }

    /// Counts bytes that are about to be written.
    ///
    /// # Errors
    /// [`storage::Error::Full`] where they would not fit.
    pub(super) fn take(&self, bytes: u64) -> storage::Result<()> {
        self.change(bytes, bytes)
    }

    fn change(&self, wanted: u64, taken: u64) -> storage::Result<()> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let known = left.filter(|(asked, _)| asked.elapsed() < FRESH);
        let (asked, room) = match known {
            Some(known) => known,
            None => (Clock::now(), self.objects.space()?.free.saturating_sub(self.reserve)),
        };
        let fits = wanted <= room;
        *left = Some((asked, if fits { room - taken } else { room }));
        if fits { Ok(()) } else { Err(storage::Error::Full(PathBuf::from("blobs, beyond the reserve"))) }
    }
}
