//! Fetching a blob: from the upstream into an upload, verified, committed, linked.
//!
//! The bytes come on the reactor and are hashed and written on a thread of their own, which also persists how far it is. So
//! a fetch that breaks off, with this process or without, is taken up where it was at the next request for it.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use oci::Hasher;
use remote::ByteRange;
use tokio::sync::mpsc;

use super::Shared;
use super::flight::{Flight, Key};
use super::manifest::ours;
use super::names::Place;
use super::upstream::{Failure, Upstream};
use crate::metadata::{BlobRow, Committed, UploadRow};
use crate::refusal::Result;
use crate::storage::{ObjectWriter, UploadId};
use crate::time;

/// Chunks between the connection and the disk.
const QUEUE: usize = 8;
/// After so many bytes the state is persisted: what a crash costs.
const SAVE_EVERY: u64 = 8 << 20;
/// How long a fetch goes on that nobody waits for, unless half of it is there: clients come back after a cut.
const LINGER: Duration = Duration::from_secs(10);
/// How often an upstream is asked for the rest of a blob, after its client has given up.
const MOST_ROUNDS: u32 = 3;
/// The prefix of the owner of our uploads; what follows is the digest. No client is called so.
const OWNER: &str = "mirror:";

/// Fetches a blob and tells the flight. Runs on its own: no client can stop it by going away.
pub(super) async fn run(shared: Arc<Shared>, key: Key, place: Place, flight: Arc<Flight>) {
    shared.figures.fetches.inc();
    shared.figures.under_way.inc();
    let outcome = fetch(&shared, &key, &place, &flight).await;
    if let Err(failure) = outcome {
        tracing::warn!(repository = key.0.as_str(), digest = %key.1, ?failure, "fetch failed");
        shared.figures.failures.inc();
        if matches!(failure, Failure::Absent) {
            shared.remember_absent(&key);
        }
        flight.fail(failure);
    }
    shared.figures.under_way.dec();
    shared.flights.remove(&key);
}

async fn fetch(shared: &Arc<Shared>, key: &Key, place: &Place, flight: &Arc<Flight>) -> Result<(), Failure> {
    let upstream = shared.upstream(place);
    if !place.allowed {
        return Err(Failure::Refused);
    }
    let _permit = upstream.fetches.acquire().await.map_err(|error| Failure::Ours(error.to_string()))?;
    // Nothing is written before the upstream has said that there is something.
    let mut sink: Option<Sink> = None;
    let mut rounds = 0;
    loop {
        rounds += 1;
        let from = match &sink {
            Some(sink) => sink.sent,
            None => shared.left_of(key).await?,
        };
        let range = (from > 0).then_some(ByteRange { start: from, end: None });
        let ask = |there: remote::Repository| async move { there.blob(&key.1, range).await };
        let outcome = match upstream.ask(&place.name, ask).await {
            Ok(blob) => {
                let sink = match &mut sink {
                    Some(sink) => sink,
                    None => sink.insert(Sink::open(shared, key, flight).await?),
                };
                receive(shared, upstream, key, flight, sink, from, blob).await
            }
            // A part of earlier that the upstream makes nothing of is forgotten.
            Err(Failure::Refused | Failure::Wrong(_)) if from > 0 && sink.is_none() && rounds == 1 => {
                shared.forget_what_is_left(key).await?;
                continue;
            }
            Err(failure) => Err(failure),
        };
        let sent = sink.as_ref().map_or(from, |sink| sink.sent);
        match (outcome, sink.take()) {
            (Ok(()), Some(sink)) => return sink.finish().await,
            (Ok(()), None) => return Err(Failure::Ours("a fetch without a place".to_owned())),
            (Err(Failure::Away { .. }), Some(same)) if sent > from && rounds < MOST_ROUNDS => sink = Some(same),
            (Err(Failure::Full), Some(sink)) => {
                sink.discard().await?;
                return Err(Failure::Full);
            }
            (Err(failure), Some(sink)) => {
                sink.keep().await?;
                return Err(failure);
            }
            (Err(failure), None) => return Err(failure),
        }
    }
}

impl Shared {
    /// How much of a blob an earlier fetch left.
    async fn left_of(self: &Arc<Self>, key: &Key) -> Result<u64, Failure> {
        let Some(upload) = self.partials.get(key) else { return Ok(0) };
        let row = self.blocking(move |shared| Ok(shared.metadata.upload(&upload)?)).await.map_err(ours)?;
        Ok(row.map_or(0, |row| row.offset))
    }

    async fn forget_what_is_left(self: &Arc<Self>, key: &Key) -> Result<(), Failure> {
        let Some(upload) = self.partials.take(key) else { return Ok(()) };
        let forgotten = self.blocking(move |shared| {
            shared.objects.abort(&upload)?;
            shared.metadata.end_upload(&upload)?;
            Ok(())
        });
        forgotten.await.map_err(ours)
    }

    /// Whether the disk takes so many bytes and keeps its reserve.
    async fn make_sure_of_room(self: &Arc<Self>, bytes: u64) -> Result<(), Failure> {
        let space = self.blocking(|shared| Ok(shared.objects.space()?)).await.map_err(ours)?;
        if space.free < self.reserve.saturating_add(bytes) { Err(Failure::Full) } else { Ok(()) }
    }
}

/// Passes on what the upstream sends from `from` on.
async fn receive(
    shared: &Arc<Shared>,
    upstream: &Upstream,
    key: &Key,
    flight: &Arc<Flight>,
    sink: &mut Sink,
    from: u64,
    mut blob: remote::Blob,
) -> Result<(), Failure> {
    if sink.sent != from {
        let cause = "what an earlier fetch left is gone".to_owned();
        return Err(Failure::Away { busy: false, after: Duration::from_secs(1), cause });
    }
    let too_large = |size: u64| Failure::Wrong(format!("{}: {size} bytes are more than are taken", key.1));
    if let Some(size) = blob.size() {
        if size > upstream.largest_blob || size < sink.sent {
            return Err(too_large(size));
        }
        shared.make_sure_of_room(size - sink.sent).await?;
        sink.expect(size - sink.sent).await?;
    }
    flight.opened(Arc::clone(&sink.file), blob.size(), sink.sent);
    let mut alone: Option<Instant> = None;
    loop {
        let next = tokio::select! {
            next = blob.next() => next.map_err(|error| upstream.failed(&error))?,
            () = shared.stop.cancelled() => return Err(Failure::Ours("the registry stops".to_owned())),
        };
        let Some(bytes) = next else { return Ok(()) };
        shared.figures.bytes.inc_by(bytes.len() as u64);
        sink.send(bytes).await?;
        if sink.sent > upstream.largest_blob {
            return Err(too_large(sink.sent));
        }
        if flight.has_waiters() {
            alone = None;
            continue;
        }
        let since = *alone.get_or_insert_with(Instant::now);
        let worth = blob.size().is_some_and(|size| sink.sent * 2 >= size);
        if since.elapsed() >= LINGER && !worth && shared.flights.leave(key, flight) {
            let cause = "nobody waits for it".to_owned();
            return Err(Failure::Away { busy: false, after: Duration::from_secs(1), cause });
        }
    }
}

enum Piece {
    Expect(u64),
    Bytes(Bytes),
    Verify,
    Discard,
}

/// The way to the thread that writes.
struct Sink {
    pieces: mpsc::Sender<Piece>,
    thread: tokio::task::JoinHandle<Result<(), Failure>>,
    file: Arc<File>,
    /// Bytes that were sent to it, those of earlier fetches included.
    sent: u64,
}

impl Sink {
    async fn open(shared: &Arc<Shared>, key: &Key, flight: &Arc<Flight>) -> Result<Self, Failure> {
        let (key, flight) = (key.clone(), Arc::clone(flight));
        let opened = shared.blocking(move |shared| {
            let (work, file) = Work::open(shared, key, flight)?;
            Ok((work, Arc::new(file)))
        });
        let (work, file) = opened.await.map_err(ours)?;
        let (pieces, queue) = mpsc::channel(QUEUE);
        let (sent, shared) = (work.hasher.size(), Arc::clone(shared));
        let thread = tokio::task::spawn_blocking(move || work.run(&shared, queue));
        Ok(Self { pieces, thread, file, sent })
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Failure> {
        let length = bytes.len() as u64;
        if self.pieces.send(Piece::Bytes(bytes)).await.is_ok() {
            self.sent += length;
            return Ok(());
        }
        // The thread has stopped: it says why.
        self.end().await.and(Err(Failure::Ours("the writer of a fetch stopped".to_owned())))
    }

    async fn expect(&mut self, bytes: u64) -> Result<(), Failure> {
        let _ = self.pieces.send(Piece::Expect(bytes)).await;
        Ok(())
    }

    async fn finish(mut self) -> Result<(), Failure> {
        let _ = self.pieces.send(Piece::Verify).await;
        self.end().await
    }

    async fn discard(mut self) -> Result<(), Failure> {
        let _ = self.pieces.send(Piece::Discard).await;
        self.end().await
    }

    async fn keep(mut self) -> Result<(), Failure> {
        self.end().await
    }

    async fn end(&mut self) -> Result<(), Failure> {
        let (closed, _) = mpsc::channel(1);
        self.pieces = closed;
        (&mut self.thread).await.map_err(|error| Failure::Ours(error.to_string()))?
    }
}

/// What the writing thread holds.
struct Work {
    key: Key,
    flight: Arc<Flight>,
    upload: UploadId,
    writer: Box<dyn ObjectWriter>,
    hasher: Hasher,
    saved: u64,
}

impl Work {
    /// Takes up an earlier fetch of the blob, or begins one.
    fn open(shared: &Shared, key: Key, flight: Arc<Flight>) -> Result<(Self, File)> {
        let resumed = match shared.partials.take(&key) {
            Some(upload) => take_up(shared, &upload, &key).map(|(writer, hasher)| (upload, writer, hasher)),
            None => None,
        };
        let (upload, writer, hasher) = match resumed {
            Some(resumed) => resumed,
            None => begin(shared, &key)?,
        };
        let file = shared.objects.partial(&upload)?.file;
        let saved = hasher.size();
        Ok((Self { key, flight, upload, writer, hasher, saved }, file))
    }

    fn run(mut self, shared: &Shared, mut queue: mpsc::Receiver<Piece>) -> Result<(), Failure> {
        while let Some(piece) = queue.blocking_recv() {
            match piece {
                Piece::Expect(bytes) => self.writer.expect(bytes),
                Piece::Bytes(bytes) => self.append(shared, &bytes)?,
                Piece::Verify => return self.commit(shared),
                Piece::Discard => return self.discard(shared),
            }
        }
        if self.hasher.size() == 0 {
            return self.forget(shared);
        }
        // It broke off: the next request goes on from here.
        self.save(shared)?;
        shared.partials.put(self.key, self.upload);
        Ok(())
    }

    fn append(&mut self, shared: &Shared, bytes: &Bytes) -> Result<(), Failure> {
        if let Err(error) = self.writer.append(bytes) {
            let failure = ours(error.into());
            let _ = self.forget(shared);
            return Err(failure);
        }
        self.hasher.update(bytes);
        self.flight.wrote(self.hasher.size());
        if self.hasher.size() - self.saved >= SAVE_EVERY { self.save(shared) } else { Ok(()) }
    }

    fn save(&mut self, shared: &Shared) -> Result<(), Failure> {
        let (offset, state) = (self.hasher.size(), self.hasher.save());
        let saved = shared.metadata.advance_upload(&self.upload, offset, &state, time::Instant::now());
        saved.map_err(|error| ours(error.into()))?;
        self.saved = offset;
        Ok(())
    }

    /// Compares what came with the digest; the right bytes become a blob of the repository, others are forgotten.
    fn commit(self, shared: &Shared) -> Result<(), Failure> {
        let (repository, digest) = &self.key;
        let size = self.hasher.size();
        let announced = self.flight.progress().size.unwrap_or(size);
        let found = self.hasher.clone().finish();
        if found != *digest || announced != size {
            self.forget(shared)?;
            shared.figures.mismatches.inc();
            return Err(Failure::Wrong(format!("{digest}: {size} bytes of {announced} came, with digest {found}")));
        }
        self.flight.verified(size);
        let kept = || -> Result<()> {
            let key = shared.objects.commit(&self.upload, digest)?;
            let row = BlobRow { digest: *digest, size, key: key.clone() };
            if let Committed::Existed(_) = shared.metadata.link_blob(repository, &row, &[], time::Instant::now())? {
                shared.objects.remove(&key)?;
            }
            shared.metadata.end_upload(&self.upload)?;
            Ok(())
        };
        kept().map_err(ours)
    }

    fn discard(self, shared: &Shared) -> Result<(), Failure> {
        self.forget(shared)
    }

    fn forget(&self, shared: &Shared) -> Result<(), Failure> {
        let forgotten = || -> Result<()> {
            shared.objects.abort(&self.upload)?;
            shared.metadata.end_upload(&self.upload)?;
            Ok(())
        };
        forgotten().map_err(ours)
    }
}

fn begin(shared: &Shared, key: &Key) -> Result<(UploadId, Box<dyn ObjectWriter>, Hasher)> {
    let upload = UploadId::random()?;
    let hasher = Hasher::new(key.1.algorithm());
    let now = time::Instant::now();
    shared.metadata.begin_upload(&UploadRow {
        id: upload.clone(),
        repository: key.0.clone(),
        owner: format!("{OWNER}{}", key.1),
        algorithm: key.1.algorithm(),
        offset: 0,
        hash_state: hasher.save(),
        started: now,
        touched: now,
    })?;
    shared.objects.begin(&upload)?;
    let writer = shared.objects.writer(&upload, 0)?;
    Ok((upload, writer, hasher))
}

/// An earlier fetch, where it was last persisted; `None` where nothing is left of it.
fn take_up(shared: &Shared, upload: &UploadId, key: &Key) -> Option<(Box<dyn ObjectWriter>, Hasher)> {
    let row = shared.metadata.upload(upload).ok()??;
    let hasher = Hasher::restore(row.algorithm, row.offset, &row.hash_state)?;
    if row.offset == 0 || row.algorithm != key.1.algorithm() || row.repository != key.0 {
        return None;
    }
    let writer = shared.objects.writer(upload, row.offset).ok()?;
    shared.figures.resumed.inc();
    Some((writer, hasher))
}

/// What earlier fetches left.
#[derive(Default)]
pub(super) struct Partials(std::sync::Mutex<std::collections::HashMap<Key, UploadId>>);

/// Partial fetches that are remembered; others are begun anew, and expire as uploads do.
const MOST_PARTIALS: usize = 10_000;

impl Partials {
    /// Finds those of earlier processes.
    pub(super) fn find(metadata: &dyn crate::metadata::Metadata) -> crate::metadata::Result<Self> {
        let found = Self::default();
        for row in metadata.stale_uploads(time::Instant::now().after(Duration::from_secs(60)), MOST_PARTIALS)? {
            if let Some(digest) = row.owner.strip_prefix(OWNER).and_then(|text| text.parse().ok()) {
                found.put((row.repository, digest), row.id);
            }
        }
        Ok(found)
    }

    fn get(&self, key: &Key) -> Option<UploadId> {
        self.lock().get(key).cloned()
    }

    fn take(&self, key: &Key) -> Option<UploadId> {
        self.lock().remove(key)
    }

    fn put(&self, key: Key, upload: UploadId) {
        let mut partials = self.lock();
        if partials.len() < MOST_PARTIALS {
            partials.insert(key, upload);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<Key, UploadId>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
