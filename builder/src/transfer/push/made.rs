//! A compressed form that is sent while it is made.
//!
//! The encoder writes into the cache at its own speed, and the upload reads from there behind it: what was sent and lost
//! is read again, not made again, and nothing waits in memory for the wire.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use oci::{DiffId, Digest};
use remote::{Pieces, Source, SourceError};
use store::{CompressedWriter, Store};
use tokio::sync::Notify;

use crate::export::ExportError;
use crate::export::encode::{self, Formed};
use crate::export::form::Wanted;
use crate::export::plain::Plain;

/// One piece on the wire.
const READ: u64 = 256 << 10;

/// A blob in the making.
pub(super) struct Made {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Nobody wants it any more.
    given_up: bool,
    /// By which what is written can be read; there from the first byte on.
    file: Option<Arc<File>>,
    written: u64,
    end: Option<Result<Formed, String>>,
}

impl Made {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }

    /// Makes it, in this thread; whatever comes of it, readers learn of it.
    pub(super) fn make(
        self: &Arc<Self>,
        store: &Store,
        diff_id: &DiffId,
        plain: &Plain,
        wanted: &Wanted,
    ) -> Result<Formed, ExportError> {
        let ending = Ending(self);
        let made = self.fill(store, diff_id, plain, wanted);
        let end = made.as_ref().map(Clone::clone).map_err(ToString::to_string);
        ending.0.change(|state| state.end = Some(end));
        made
    }

    fn fill(
        self: &Arc<Self>,
        store: &Store,
        diff_id: &DiffId,
        plain: &Plain,
        wanted: &Wanted,
    ) -> Result<Formed, ExportError> {
        let writer = store.compressed_writer()?;
        let file = Arc::new(writer.reader()?);
        self.change(|state| state.file = Some(file));
        let sink = Tee { writer, made: Arc::clone(self) };
        let (sink, contents) = encode::encode(store, diff_id, plain, wanted, sink)?;
        encode::remember(store, diff_id, wanted, contents, sink.writer.commit()?)
    }

    /// Nobody wants it any more: its maker stops at the next write.
    pub(super) fn give_up(&self) {
        self.change(|state| state.given_up = true);
    }

    /// The next piece from `at` on; `None` at the end.
    async fn next(&self, at: u64) -> Result<Option<Bytes>, SourceError> {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Before looking: a change between the look and the wait must wake us.
            changed.as_mut().enable();
            let (file, written) = {
                let state = self.state();
                match &state.end {
                    Some(Err(error)) => return Err(error.clone().into()),
                    Some(Ok(_)) if state.written <= at => return Ok(None),
                    _ => (state.file.clone(), state.written),
                }
            };
            if let Some(file) = file.filter(|_| written > at) {
                // Written a moment ago: it comes from memory, and waits for no disk.
                let length = usize::try_from((written - at).min(READ)).unwrap_or(0);
                let mut buffer = vec![0; length];
                file.read_exact_at(&mut buffer, at)?;
                return Ok(Some(Bytes::from(buffer)));
            }
            changed.await;
        }
    }
}

/// Ends what nobody ended: a thread that panics must not leave an upload waiting.
struct Ending<'a>(&'a Arc<Made>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if self.0.state().end.is_none() {
            self.0.change(|state| state.end = Some(Err("it was given up".to_owned())));
        }
    }
}

/// A [`Made`] that uploads read.
pub(super) struct Reading(pub(super) Arc<Made>);

impl Source for Reading {
    fn known(&self) -> Option<(Digest, u64)> {
        let state = self.0.state();
        let made = state.end.as_ref()?.as_ref().ok()?;
        Some((made.descriptor.digest, made.descriptor.size))
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Pieces, SourceError>> {
        let made = Arc::clone(&self.0);
        let pieces = futures_util::stream::try_unfold(offset, move |at| {
            let made = Arc::clone(&made);
            async move {
                let piece = made.next(at).await?;
                Ok::<_, SourceError>(piece.map(|bytes| {
                    let next = at + bytes.len() as u64;
                    (bytes, next)
                }))
            }
        });
        Box::pin(async move { Ok(Box::pin(pieces) as Pieces) })
    }
}

/// Writes into the cache and tells how far it is.
struct Tee {
    writer: CompressedWriter,
    made: Arc<Made>,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.made.state().given_up {
            return Err(io::Error::other("nobody wants it any more"));
        }
        self.writer.write_all(bytes)?;
        self.made.change(|state| state.written += bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
