//! A whole blob in order, from any offset: what pulls read.
//!
//! A small blob is one answer. A large one is asked for in windows, some of them ahead of the reader over connections of
//! their own; a host that knows no ranges, or answers one badly, gets one question for all that is left. Where a source
//! fails for good, the next one goes on at the same byte. Bytes ahead of the reader are bounded for all fetches together.
//!
//! ```text
//! reader ◀─ head window (straight from its connection) ◀─ window, window, window (each read by a task, with a permit)
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use oci::{Digest, Hasher};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::client::Repository;
use crate::error::{Error, Result};
use crate::pull::{Blob, Ranges};
use crate::range::ByteRange;

/// What one ranged question asks for: long enough that its round trip does not count, short enough that a few of them
/// fit into memory.
const WINDOW: u64 = 2 << 20;
/// Blobs with more than this to come are asked for in windows: below it, connections would cost more than they bring.
const WINDOWS_FROM: u64 = 16 << 20;
/// Connections of one fetch.
const CONNECTIONS: usize = 4;

/// The memory that all fetches of one pull share for what they read ahead. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadAhead(Arc<Semaphore>);

impl ReadAhead {
    /// At most `bytes`, in windows of 2 MiB. With less than one window nothing is read ahead.
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(bytes / WINDOW).unwrap_or(0))))
    }
}

/// A blob on its way: see the module.
#[derive(Debug)]
pub struct Fetch {
    sources: VecDeque<Repository>,
    digest: Digest,
    size: u64,
    at: u64,
    /// Has seen all bytes before `at`; `None` once it judged, or where the caller judges.
    hasher: Option<Hasher>,
    ahead: ReadAhead,
    way: Way,
    manner: Manner,
    /// What failed and was got over, in words.
    troubles: Vec<String>,
}

/// How the source is asked, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// In windows, where there is much to come.
    Windows,
    /// For all that is left, by a range.
    Rest,
    /// For all of it: what is there already is passed over.
    All,
}

/// How bytes come at the moment.
#[derive(Debug)]
enum Way {
    /// Nothing is open.
    Closed,
    /// All that is left, in one answer.
    Single(Box<Blob>),
    /// In windows. The head ends before `end`; at `next` begins the first one that nobody has asked for.
    Windows { head: Head, end: u64, queue: VecDeque<Window>, next: u64 },
}

#[derive(Debug)]
enum Head {
    Blob(Box<Blob>),
    Window(Window),
}

/// A window that a task reads.
#[derive(Debug)]
struct Window {
    /// The byte after its last one.
    end: u64,
    /// Holds a window's bytes at most.
    bytes: mpsc::UnboundedReceiver<Result<Bytes>>,
    task: JoinHandle<()>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Window {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fetch {
    /// A blob of `size` bytes from byte `from` on, out of the first source that gives it. Nothing is asked yet.
    ///
    /// `hasher` has seen the bytes before `from`: the end is an error then unless the digest is right. Without one, the
    /// caller must judge.
    pub fn new(
        sources: &[Repository],
        digest: &Digest,
        size: u64,
        from: u64,
        hasher: Option<Hasher>,
        ahead: &ReadAhead,
    ) -> Self {
        Self {
            sources: sources.iter().cloned().collect(),
            digest: *digest,
            size,
            at: from.min(size),
            hasher,
            ahead: ahead.clone(),
            way: Way::Closed,
            manner: Manner::Windows,
            troubles: Vec::new(),
        }
    }

    /// The offset of the next byte.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The repository that bytes come from now.
    pub fn source(&self) -> Option<&Repository> {
        self.sources.front()
    }

    /// What failed since this was last asked, and did not end the fetch.
    pub fn troubles(&mut self) -> Vec<String> {
        std::mem::take(&mut self.troubles)
    }

    /// The next bytes; `None` once all came (and, with a hasher, are those of the digest).
    ///
    /// # Errors
    /// See [`Error`]: that of the last source. After one there is nothing more.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.at == self.size {
                self.way = Way::Closed;
                return self.judge().map(|()| None);
            }
            match self.step().await {
                Ok(Some(bytes)) => {
                    self.at += bytes.len() as u64;
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&bytes);
                    }
                    return Ok(Some(bytes));
                }
                Ok(None) => {}
                Err(error) => self.get_over(error)?,
            }
        }
    }

    fn judge(&mut self) -> Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let found = hasher.finish();
        if found == self.digest {
            return Ok(());
        }
        let place = self.sources.front().map(Repository::place).unwrap_or_default();
        Err(Error::Digest { place, what: format!("blob {}", self.digest), expected: self.digest, found })
    }

    /// Asked otherwise, the source may do; else another source may.
    fn get_over(&mut self, error: Error) -> Result<()> {
        let in_windows = self.manner == Manner::Windows && self.size - self.at > WINDOWS_FROM
            || matches!(self.way, Way::Windows { .. });
        self.way = Way::Closed;
        match self.manner {
            Manner::Windows if in_windows && dislikes(&error, true) => self.manner = Manner::Rest,
            Manner::Windows | Manner::Rest if self.at > 0 && dislikes(&error, false) => self.manner = Manner::All,
            Manner::Windows | Manner::Rest | Manner::All => {
                self.sources.pop_front();
                self.manner = Manner::Windows;
                if self.sources.is_empty() {
                    return Err(error);
                }
            }
        }
        tracing::debug!(blob = %self.digest, at = self.at, %error, "another way");
        self.troubles.push(error.to_string());
        Ok(())
    }

    async fn step(&mut self) -> Result<Option<Bytes>> {
        match &mut self.way {
            Way::Closed => {
                self.open().await?;
                Ok(None)
            }
            Way::Single(blob) => match blob.next().await? {
                Some(bytes) => self.fitting(bytes).map(Some),
                None => Err(self.too_short()),
            },
            Way::Windows { .. } => self.step_windows().await,
        }
    }

    /// Asks for what is left, or for the first window of it.
    async fn open(&mut self) -> Result<()> {
        let Some(source) = self.sources.front() else {
            return Err(Error::Setup(format!("blob {} has no source", self.digest)));
        };
        let end = self.at.saturating_add(WINDOW);
        let large = self.manner == Manner::Windows && self.size - self.at > WINDOWS_FROM;
        let range = match (large, self.at) {
            (true, at) => Some(ByteRange { start: at, end: Some(end - 1) }),
            (false, 0) => None,
            (false, at) => Some(ByteRange { start: at, end: None }),
        };
        let ranges = if self.manner == Manner::All { Ranges::Avoided } else { Ranges::Wanted };
        let mut blob = Box::new(source.open_blob(&self.digest, range, ranges).await?);
        if let Some(found) = blob.size().filter(|found| *found != self.size) {
            let (place, what) = (source.place(), format!("blob {}", self.digest));
            return Err(Error::Length { place, what, expected: self.size, found });
        }
        self.way = if large && blob.is_partial() {
            Way::Windows { head: Head::Blob(blob), end, queue: VecDeque::new(), next: end }
        } else {
            // Without ranges this answer holds everything.
            blob.want_all();
            Way::Single(blob)
        };
        Ok(())
    }

    async fn step_windows(&mut self) -> Result<Option<Bytes>> {
        self.look_ahead();
        let Way::Windows { head, end, queue, next } = &mut self.way else { return Ok(None) };
        let bytes = match head {
            Head::Blob(blob) => blob.next().await?,
            Head::Window(window) => window.bytes.recv().await.transpose()?,
        };
        if let Some(bytes) = bytes {
            return self.fitting(bytes).map(Some);
        }
        if self.at != *end {
            return Err(self.too_short());
        }
        if let Some(window) = queue.pop_front() {
            *end = window.end;
            *head = Head::Window(window);
            return Ok(None);
        }
        // No memory was left to read ahead.
        let last = next.saturating_add(WINDOW).min(self.size);
        let Some(source) = self.sources.front() else { return Ok(None) };
        let blob = source.open_blob(&self.digest, Some(window(*next, last)), Ranges::Needed).await?;
        (*end, *next) = (last, last);
        *head = Head::Blob(Box::new(blob));
        Ok(None)
    }

    /// Lets tasks read the windows that come next, as far as memory goes.
    fn look_ahead(&mut self) {
        let Way::Windows { queue, next, .. } = &mut self.way else { return };
        let Some(source) = self.sources.front() else { return };
        while queue.len() + 1 < CONNECTIONS && *next < self.size {
            let Ok(permit) = Arc::clone(&self.ahead.0).try_acquire_owned() else { return };
            let end = next.saturating_add(WINDOW).min(self.size);
            let range = window(*next, end);
            let (sender, bytes) = mpsc::unbounded_channel();
            let task = tokio::spawn(read_window(source.clone(), self.digest, range, self.size, sender));
            queue.push_back(Window { end, bytes, task, _permit: permit });
            *next = end;
        }
    }

    /// Bytes that do not go past the end.
    fn fitting(&self, bytes: Bytes) -> Result<Bytes> {
        let found = self.at.saturating_add(bytes.len() as u64);
        if found <= self.size { Ok(bytes) } else { Err(self.length(found)) }
    }

    fn too_short(&self) -> Error {
        self.length(self.at)
    }

    fn length(&self, found: u64) -> Error {
        let place = self.sources.front().map(Repository::place).unwrap_or_default();
        Error::Length { place, what: format!("blob {}", self.digest), expected: self.size, found }
    }
}

/// Bytes from `start` to the one before `end`.
fn window(start: u64, end: u64) -> ByteRange {
    ByteRange { start, end: Some(end - 1) }
}

/// Whether a failure may be about how was asked. In windows that is also a connection that breaks: several at once are more
/// than some hosts bear.
fn dislikes(error: &Error, in_windows: bool) -> bool {
    match error {
        Error::Status { status, .. } => {
            let of_the_caller = matches!(status.as_u16(), 403 | 404 | 429);
            (status.is_client_error() || status.as_u16() == 501) && !of_the_caller
        }
        Error::Malformed { .. } => true,
        Error::Transport { connect, .. } => in_windows && !connect,
        Error::Length { .. } => in_windows,
        _ => false,
    }
}

/// A task's whole work. Nobody listens any more when the fetch was given up.
async fn read_window(
    source: Repository,
    digest: Digest,
    range: ByteRange,
    size: u64,
    sender: mpsc::UnboundedSender<Result<Bytes>>,
) {
    let read = async {
        let mut blob = source.open_blob(&digest, Some(range), Ranges::Needed).await?;
        if let Some(found) = blob.size().filter(|found| *found != size) {
            let (place, what) = (source.place(), format!("blob {digest}"));
            return Err(Error::Length { place, what, expected: size, found });
        }
        while let Some(bytes) = blob.next().await? {
            if sender.send(Ok(bytes)).is_err() {
                break;
            }
        }
        Ok(())
    };
    if let Err(error) = read.await {
        let _ = sender.send(Err(error));
    }
}
