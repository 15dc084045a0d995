//! A blob on its way: one fetch, and all who wait for it.
//!
//! The fetch appends to an upload's file and says how far it is; each waiter reads from that file at its own pace. The last
//! byte is held back until the whole is verified: no client ever has a complete answer with wrong bytes in it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::Stream;
use oci::{Digest, RepositoryName};
use tokio::sync::watch;

use super::upstream::Failure;

/// How much a waiter reads at a time.
const WINDOW: u64 = 256 << 10;

/// Which blob of which repository here.
pub(super) type Key = (RepositoryName, Digest);

/// How far a fetch is.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) phase: Phase,
    /// The size of the blob, once the upstream has said it.
    pub(super) size: Option<u64>,
    /// Bytes in the file.
    pub(super) written: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// The upstream has not answered yet.
    Opening,
    /// Bytes come.
    Coming,
    /// All bytes are there, and they are the right ones.
    Verified,
    /// There will be no more.
    Failed(Failure),
}

/// One fetch.
pub(super) struct Flight {
    progress: watch::Sender<Progress>,
    file: OnceLock<Arc<File>>,
    waiters: AtomicUsize,
}

impl Flight {
    fn new() -> Self {
        let (progress, _) = watch::channel(Progress { phase: Phase::Opening, size: None, written: 0 });
        Self { progress, file: OnceLock::new(), waiters: AtomicUsize::new(0) }
    }

    /// A fetch that is over: an object that is here.
    pub(super) fn landed(file: File, size: u64) -> Arc<Self> {
        let flight = Self::new();
        flight.file.get_or_init(|| Arc::new(file));
        flight.progress.send_replace(Progress { phase: Phase::Verified, size: Some(size), written: size });
        Arc::new(flight)
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// The upstream has answered, and bytes go to `file`.
    pub(super) fn opened(&self, file: Arc<File>, size: Option<u64>, written: u64) {
        self.file.get_or_init(|| file);
        self.progress.send_modify(|progress| {
            progress.phase = Phase::Coming;
            progress.size = size.or(progress.size);
            progress.written = written;
        });
    }

    pub(super) fn wrote(&self, written: u64) {
        self.progress.send_modify(|progress| progress.written = written);
    }

    pub(super) fn verified(&self, size: u64) {
        self.progress.send_modify(|progress| {
            progress.phase = Phase::Verified;
            progress.size = Some(size);
            progress.written = size;
        });
    }

    pub(super) fn fail(&self, failure: Failure) {
        self.progress.send_modify(|progress| {
            // What is verified stays so, even if it could not be kept.
            if !matches!(progress.phase, Phase::Verified) {
                progress.phase = Phase::Failed(failure);
            }
        });
    }

    pub(super) fn has_waiters(&self) -> bool {
        self.waiters.load(Ordering::Acquire) > 0
    }

    /// Somebody who waits, until it is dropped.
    pub(super) fn wait(self: &Arc<Self>) -> Waiter {
        self.waiters.fetch_add(1, Ordering::AcqRel);
        Waiter { flight: Arc::clone(self), progress: self.progress.subscribe() }
    }
}

/// Somebody who waits for a blob.
pub(super) struct Waiter {
    flight: Arc<Flight>,
    progress: watch::Receiver<Progress>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.flight.waiters.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Waiter {
    /// Waits until the upstream has answered: the size, if it says so. An answer without bytes has none that could be held
    /// back, so it waits for the verdict.
    pub(super) async fn opened(&mut self) -> Result<Option<u64>, Failure> {
        let answered = self.progress.wait_for(|progress| match progress.phase {
            Phase::Opening => false,
            Phase::Coming => progress.size != Some(0),
            Phase::Verified | Phase::Failed(_) => true,
        });
        match answered.await.map(|progress| progress.clone()) {
            Ok(Progress { phase: Phase::Failed(failure), .. }) => Err(failure),
            Ok(progress) => Ok(progress.size),
            Err(_) => Err(Failure::Ours("a fetch ended without a word".to_owned())),
        }
    }

    /// How many bytes are in the file.
    pub(super) fn written(&self) -> u64 {
        self.progress.borrow().written
    }

    /// The bytes of `range`, or all, as they come.
    pub(super) fn into_stream(self, range: Option<Range<u64>>) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let (at, end) = range.map_or((0, None), |range| (range.start, Some(range.end)));
        futures_util::stream::try_unfold((self, at), move |(mut waiter, at)| async move {
            let next = waiter.next(at, end).await?;
            Ok(next.map(|bytes| {
                let at = at + bytes.len() as u64;
                (bytes, (waiter, at))
            }))
        })
    }

    /// Bytes from `at` on, as soon as there are any that may be given out; `None` at the end.
    async fn next(&mut self, at: u64, end: Option<u64>) -> io::Result<Option<Bytes>> {
        loop {
            let progress = self.progress.borrow_and_update().clone();
            match step(&progress, at, end) {
                Step::Read(range) => return self.read(range).await.map(Some),
                Step::End => return Ok(None),
                Step::Fail(failure) => return Err(io::Error::other(format!("{failure:?}"))),
                Step::Wait => {
                    let changed = self.progress.changed().await;
                    changed.map_err(|_| io::Error::other("a fetch ended without a word"))?;
                }
            }
        }
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let Some(file) = self.flight.file.get().cloned() else {
            return Err(io::Error::other("a fetch without a file"));
        };
        let read = tokio::task::spawn_blocking(move || {
            let length = usize::try_from(range.end - range.start).unwrap_or_default();
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, range.start).map(|()| Bytes::from(bytes))
        });
        read.await.map_err(io::Error::other)?
    }
}

#[derive(Debug)]
enum Step {
    Read(Range<u64>),
    Wait,
    End,
    Fail(Failure),
}

/// What a waiter at `at`, who wants bytes up to `end` or all, does next. Pure.
fn step(progress: &Progress, at: u64, end: Option<u64>) -> Step {
    let whole = match (end, progress.size) {
        (Some(end), Some(size)) => Some(end.min(size)),
        (end, size) => end.or(size),
    };
    let verified = matches!(progress.phase, Phase::Verified);
    let given_out = match progress.size {
        // The last byte waits for the verdict.
        Some(size) if !verified => progress.written.min(size.saturating_sub(1)),
        _ => progress.written,
    };
    let available = whole.map_or(given_out, |whole| whole.min(given_out));
    if at < available {
        return Step::Read(at..available.min(at + WINDOW));
    }
    let reached = whole.is_some_and(|whole| at >= whole);
    match &progress.phase {
        Phase::Verified => Step::End,
        Phase::Failed(failure) => Step::Fail(failure.clone()),
        // A slice that ends before the last byte.
        Phase::Coming if reached && progress.size.is_some_and(|size| at < size) => Step::End,
        Phase::Coming | Phase::Opening => Step::Wait,
    }
}

/// The fetches that are under way.
#[derive(Default)]
pub(super) struct Flights {
    flights: Mutex<HashMap<Key, Arc<Flight>>>,
}

impl Flights {
    /// Joins the fetch of a blob, or starts it: then `start` is called with it.
    pub(super) fn join(&self, key: &Key, start: impl FnOnce(Arc<Flight>)) -> Waiter {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(key) {
            return flight.wait();
        }
        let flight = Arc::new(Flight::new());
        let waiter = flight.wait();
        flights.insert(key.clone(), Arc::clone(&flight));
        drop(flights);
        start(flight);
        waiter
    }

    /// The fetch of a blob, if there is one.
    pub(super) fn get(&self, key: &Key) -> Option<Progress> {
        self.lock().get(key).map(|flight| flight.progress())
    }

    /// Ends a fetch that nobody waits for; `false` where somebody came after all.
    pub(super) fn leave(&self, key: &Key, flight: &Flight) -> bool {
        let mut flights = self.lock();
        if flight.has_waiters() {
            return false;
        }
        flights.remove(key);
        true
    }

    pub(super) fn remove(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(phase: Phase, size: Option<u64>, written: u64, at: u64, end: Option<u64>) -> String {
        match step(&Progress { phase, size, written }, at, end) {
            Step::Read(range) => format!("{}..{}", range.start, range.end),
            Step::Wait => "wait".to_owned(),
            Step::End => "end".to_owned(),
            Step::Fail(_) => "fail".to_owned(),
        }
    }

    #[test]
    fn the_last_byte_waits_for_the_verdict() {
        use Phase::{Coming, Failed, Opening, Verified};
        for (phase, size, written, at, end, expected) in [
            (Opening, None, 0, 0, None, "wait"),
            (Coming, Some(10), 4, 0, None, "0..4"),
            (Coming, Some(10), 4, 4, None, "wait"),
            (Coming, Some(10), 10, 4, None, "4..9"),
            (Coming, Some(10), 10, 9, None, "wait"),
            (Verified, Some(10), 10, 9, None, "9..10"),
            (Verified, Some(10), 10, 10, None, "end"),
            (Failed(Failure::Absent), Some(10), 10, 9, None, "fail"),
            (Failed(Failure::Absent), Some(10), 10, 2, None, "2..9"),
            // Without a size, the end itself is what waits.
            (Coming, None, 10, 0, None, "0..10"),
            (Coming, None, 10, 10, None, "wait"),
            (Failed(Failure::Absent), None, 10, 10, None, "fail"),
            (Verified, Some(10), 10, 10, None, "end"),
            // Nothing at all.
            (Coming, Some(0), 0, 0, None, "wait"),
            (Verified, Some(0), 0, 0, None, "end"),
            // Slices.
            (Coming, Some(10), 8, 2, Some(5), "2..5"),
            (Coming, Some(10), 8, 5, Some(5), "end"),
            (Coming, Some(10), 3, 2, Some(5), "2..3"),
            (Coming, Some(10), 3, 3, Some(5), "wait"),
            (Coming, Some(10), 10, 5, Some(10), "5..9"),
            (Coming, Some(10), 10, 9, Some(10), "wait"),
            (Verified, Some(10), 10, 5, Some(5), "end"),
        ] {
            assert_eq!(shown(phase, size, written, at, end), expected, "{size:?} {written} {at} {end:?}");
        }
        assert_eq!(shown(Coming, Some(9 * WINDOW), 8 * WINDOW, 0, None), format!("0..{WINDOW}"));
    }
}
