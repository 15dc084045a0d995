//! An upload from its first byte to its last: which call comes next, and what is done when one fails.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::flow::{Body, Flow};
use super::remedy::{Case, Remedy};
use super::source::{Pieces, Source, SourceError};
use super::way::{CHUNK, Needs, Way};
use super::{Tell, Told};
use crate::call::Payload;
use crate::client::Repository;
use crate::error::{Error, Result};
use crate::push::{Piece, Upload};
use crate::retry;

/// After so many bytes without a break, tries are counted anew.
const PROGRESS: u64 = 1 << 20;
/// An upload is begun anew so many times: whoever forgets sessions faster takes no blob of this size.
const MOST_BEGINNINGS: u32 = 4;
/// The first wait, which doubles, and how many times at most a registry is asked whether what broke is still coming in.
const LOOK: Duration = Duration::from_millis(25);
const MOST_LOOKS: u32 = 8;
/// So many looks in a row that show the same are believed.
const SAME_LOOKS: u32 = 2;
/// How often a stream is looked at while it goes: for displays, and for stalls.
const TICK: Duration = Duration::from_millis(100);

/// An upload on its way.
pub(super) struct Sending<'a> {
    repository: &'a Repository,
    source: &'a dyn Source,
    told: Tell<'a>,
    /// The session; `None`: to be begun.
    upload: Option<Upload>,
    /// What the registry has must be asked first.
    doubt: bool,
    /// Bytes of this session that an answer confirmed.
    confirmed: u64,
    /// Bytes of this session that were handed to the wire, the furthest.
    furthest: u64,
    /// A part was sent after a break.
    resumed: bool,
    /// The end was sent.
    finishing: bool,
    chunk: Option<u64>,
    failures: u32,
    beginnings: u32,
    /// The offset at the last failure, and its status.
    last_failure: Option<(u64, Option<http::StatusCode>)>,
    sent: u64,
}

impl<'a> Sending<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        source: &'a dyn Source,
        upload: Option<Upload>,
        chunk: Option<u64>,
        told: Tell<'a>,
    ) -> Self {
        Self {
            repository,
            source,
            told,
            // Of a session that was just opened the registry has nothing, whatever it says.
            upload: upload.map(|upload| Upload { offset: 0, ..upload }),
            doubt: false,
            confirmed: 0,
            furthest: 0,
            resumed: false,
            finishing: false,
            chunk,
            failures: 0,
            beginnings: 0,
            last_failure: None,
            sent: 0,
        }
    }

    /// Sends all, and ends the upload. Gives the bytes that went over the wire.
    pub(super) async fn run(mut self) -> Result<u64> {
        loop {
            match self.attempt().await {
                Ok(()) => return Ok(self.sent),
                Err(error) => {
                    if self.recover(error).await? {
                        return Ok(self.sent);
                    }
                }
            }
        }
    }

    /// From wherever the upload is to its end.
    async fn attempt(&mut self) -> Result<()> {
        let mut upload = self.session().await?;
        let size = self.source.known().map(|(_, size)| size);
        let least = upload.least_chunk;
        let way = Needs { size, offset: upload.offset, chunk: self.chunk, least }.way(self.repository.registry.quirk());
        let last = match way {
            Way::AtOnce => self.whole(upload.offset).await?,
            Way::Stream => self.stream(&mut upload, size).await.map(|()| Bytes::new())?,
            Way::Chunks(chunk) => self.chunks(&mut upload, chunk).await?,
        };
        let Some((digest, _)) = self.source.known() else {
            return Err(self.source_error("it did not say what it is".into()));
        };
        let end = upload.offset + last.len() as u64;
        self.sent += last.len() as u64;
        self.furthest = self.furthest.max(end);
        self.finishing = true;
        (self.told)(Told::Moved(end));
        self.repository.put_upload(upload, &digest, last).await
    }

    /// The session, as far as the registry has it.
    async fn session(&mut self) -> Result<Upload> {
        let upload = match self.upload.take() {
            None => {
                (self.confirmed, self.furthest, self.resumed) = (0, 0, false);
                Upload { offset: 0, ..self.repository.begin_upload().await? }
            }
            Some(upload) if self.doubt => {
                // Kept, so that a failure to ask asks again.
                self.upload = Some(upload.clone());
                let mut found = self.settled(&upload).await?;
                if self.is_loose() {
                    found.offset = found.offset.max(self.confirmed);
                }
                if found.offset > self.furthest {
                    // It never got that much: whatever it has there is not ours.
                    let problem = format!("the registry has {} bytes, and was sent {}", found.offset, self.furthest);
                    self.begin_anew(self.repository.malformed("upload", &problem))?;
                    return Box::pin(self.session()).await;
                }
                self.resumed |= self.furthest > 0;
                if found.offset > 0 {
                    (self.told)(Told::Resumed(found.offset));
                }
                found
            }
            Some(upload) => upload,
        };
        self.doubt = false;
        self.upload = Some(upload.clone());
        Ok(upload)
    }

    /// What the registry has, once it does not become more: of a call that broke it may still be taking in what came.
    async fn settled(&self, upload: &Upload) -> Result<Upload> {
        let mut found = self.repository.upload_status(upload).await?;
        let (mut same, mut wait) = (0, LOOK);
        for _ in 0..MOST_LOOKS {
            if found.offset >= self.furthest || same >= SAME_LOOKS {
                break;
            }
            tokio::time::sleep(wait).await;
            let next = self.repository.upload_status(&found).await?;
            same = if next.offset == found.offset { same + 1 } else { 0 };
            wait *= 2;
            found = next;
        }
        Ok(found)
    }

    fn is_loose(&self) -> bool {
        self.repository.registry.quirk().loose_uploads
    }

    async fn open(&self, offset: u64) -> Result<Pieces> {
        self.source.open(offset).await.map_err(|error| self.source_error(error))
    }

    fn source_error(&self, source: SourceError) -> Error {
        let what = self.source.known().map_or_else(|| "upload".to_owned(), |(digest, _)| format!("blob {digest}"));
        Error::Source { place: self.repository.place(), what, source }
    }

    /// The rest of a small blob.
    async fn whole(&mut self, offset: u64) -> Result<Bytes> {
        let mut pieces = self.open(offset).await?;
        let expected = self.source.known().map_or(0, |(_, size)| size) - offset;
        let mut bytes = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| self.source_error(error))?);
            if bytes.len() as u64 > expected {
                break;
            }
        }
        if bytes.len() as u64 != expected {
            return Err(self.source_error(format!("{} bytes instead of {expected}", bytes.len()).into()));
        }
        Ok(bytes.freeze())
    }

    /// The rest as one stream.
    async fn stream(&mut self, upload: &mut Upload, size: Option<u64>) -> Result<()> {
        let first = upload.offset;
        let flow = Flow::new();
        let length = size.map(|size| size - first);
        let body = Body::new(self.open(first).await?, flow.clone(), length);
        let payload = Payload::Once(Some(reqwest::Body::wrap_stream(body)));
        let answer = {
            let call = self.repository.append(upload, Piece { payload, length, ranged: first > 0 });
            let limit = self.repository.registry.shared.options.idle_timeout;
            watched(call, &flow, limit, |moved| (self.told)(Told::Moved(first + moved))).await
        };
        let moved = flow.moved();
        self.sent += moved;
        self.furthest = self.furthest.max(first + moved);
        if let Some(error) = flow.take_failure() {
            return Err(self.source_error(error));
        }
        let limit = self.repository.registry.shared.options.idle_timeout;
        let stalled = || self.repository.registry.stalled(self.repository.name.as_str(), "upload", limit);
        let reported = answer.unwrap_or_else(|| Err(stalled()))?;
        self.arrived(upload, first + moved, reported)
    }

    /// The rest in chunks; gives the last one, where the blob's size was known.
    async fn chunks(&mut self, upload: &mut Upload, chunk: u64) -> Result<Bytes> {
        let mut pieces = self.open(upload.offset).await?;
        let mut held = Bytes::new();
        loop {
            let (bytes, ended) = self.gather(&mut pieces, &mut held, chunk).await?;
            if ended {
                return Ok(bytes);
            }
            let end = upload.offset + bytes.len() as u64;
            self.sent += bytes.len() as u64;
            self.furthest = self.furthest.max(end);
            let length = Some(bytes.len() as u64);
            let piece = Piece { payload: Payload::Bytes(bytes), length, ranged: true };
            let reported = self.repository.append(upload, piece).await?;
            self.arrived(upload, end, reported)?;
            (self.told)(Told::Moved(end));
        }
    }

    /// The next chunk, and whether it is the last: the one with which the upload may end.
    async fn gather(&self, pieces: &mut Pieces, held: &mut Bytes, chunk: u64) -> Result<(Bytes, bool)> {
        let chunk = usize::try_from(chunk).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::new();
        loop {
            let count = held.len().min(chunk - bytes.len());
            bytes.extend_from_slice(&held.split_to(count));
            if bytes.len() == chunk {
                return Ok((bytes.freeze(), false));
            }
            match pieces.next().await {
                Some(piece) => *held = piece.map_err(|error| self.source_error(error))?,
                None => return Ok((bytes.freeze(), true)),
            }
        }
    }

    /// An answer came for all bytes up to `end`; `reported` is what the registry says it has.
    fn arrived(&mut self, upload: &mut Upload, end: u64, reported: Option<u64>) -> Result<()> {
        let short = reported.is_some_and(|reported| reported < end && end > 1) && !self.is_loose();
        if short {
            return Err(Error::Length {
                place: self.repository.place(),
                what: "upload".to_owned(),
                expected: end,
                found: reported.unwrap_or(0),
            });
        }
        upload.offset = end;
        self.confirmed = end;
        self.upload = Some(upload.clone());
        Ok(())
    }

    /// After a failure: waits, and sees to it that the next attempt may work. `true`: the blob is there after all.
    async fn recover(&mut self, error: Error) -> Result<bool> {
        let at = self.upload.as_ref().map_or(0, |upload| upload.offset);
        let stuck = self.last_failure == Some((at, error.status()));
        if self.last_failure.is_some_and(|(last, _)| at >= last.saturating_add(PROGRESS)) {
            self.failures = 0;
        }
        self.last_failure = Some((at, error.status()));
        self.failures += 1;
        let case = Case { resumed: self.resumed, stuck, in_chunks: self.chunk.is_some_and(|chunk| chunk <= CHUNK) };
        let remedy = match &error {
            // The registry has less than it was sent, and said so.
            Error::Length { .. } => Remedy::Ask,
            // What refuses to begin an upload refuses the next one too.
            error if self.upload.is_none() && !error.is_temporary() => Remedy::GiveUp,
            error => Remedy::of(error, case),
        };
        let policy = self.repository.registry.shared.options.retry;
        let wait = policy.wait(self.failures, error.retry_after(), retry::dice());
        let Some(wait) = wait.filter(|_| remedy != Remedy::GiveUp) else { return Err(error) };
        tracing::debug!(%error, ?remedy, failures = self.failures, at, "upload");
        if error.is_temporary() || error.status() == Some(http::StatusCode::CONFLICT) {
            tokio::time::sleep(wait).await;
        }
        if self.finishing
            && let Some((digest, _)) = self.source.known()
            && self.repository.head_blob(&digest).await.is_ok()
        {
            return Ok(true);
        }
        (self.told)(Told::Retried(error.to_string()));
        match remedy {
            Remedy::Ask | Remedy::GiveUp => self.doubt = true,
            Remedy::Anew => self.begin_anew(error)?,
            Remedy::Chunks => {
                self.chunk = Some(CHUNK);
                self.begin_anew(error)?;
            }
        }
        Ok(false)
    }

    /// Gives the session up; the next attempt begins another one.
    fn begin_anew(&mut self, error: Error) -> Result<()> {
        self.beginnings += 1;
        if self.beginnings >= MOST_BEGINNINGS {
            return Err(error);
        }
        (self.upload, self.doubt, self.finishing) = (None, false, false);
        Ok(())
    }
}

/// Waits for the answer to a stream while it goes; `None` where it stalled.
async fn watched<T>(
    call: impl Future<Output = Result<T>>,
    flow: &Flow,
    limit: Duration,
    told: impl Fn(u64),
) -> Option<Result<T>> {
    let mut call = std::pin::pin!(call);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            answer = &mut call => return Some(answer),
            _ = tick.tick() => {
                told(flow.moved());
                if flow.is_stalled(limit) {
                    return None;
                }
            }
        }
    }
}
