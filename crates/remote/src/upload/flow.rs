//! The bytes of one stream on their way to the wire: counted, bounded by the promised size, and watched for a stall.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;

use super::source::{Pieces, SourceError};

/// What is known of a stream while the HTTP client reads it.
#[derive(Debug)]
pub(super) struct Flow(Mutex<State>);

#[derive(Debug)]
struct State {
    moved: u64,
    /// When the client last asked for bytes or got some.
    last: Instant,
    /// The client waits for us, not we for it.
    at_source: bool,
    failed: Option<SourceError>,
}

impl Flow {
    pub(super) fn new() -> Arc<Self> {
        let state = State { moved: 0, last: Instant::now(), at_source: false, failed: None };
        Arc::new(Self(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that the client has taken.
    pub(super) fn moved(&self) -> u64 {
        self.state().moved
    }

    /// Whether the other side took nothing and said nothing for so long.
    pub(super) fn is_stalled(&self, limit: Duration) -> bool {
        let state = self.state();
        !state.at_source && state.last.elapsed() > limit
    }

    /// Why the source gave no more.
    pub(super) fn take_failure(&self) -> Option<SourceError> {
        self.state().failed.take()
    }
}

/// The stream itself.
pub(super) struct Body {
    pieces: Pieces,
    flow: Arc<Flow>,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
}

impl Body {
    pub(super) fn new(pieces: Pieces, flow: Arc<Flow>, left: Option<u64>) -> Self {
        Self { pieces, flow, left }
    }

    fn fail(&self, error: SourceError) -> io::Error {
        let shown = io::Error::other(error.to_string());
        self.flow.state().failed = Some(error);
        shown
    }

    fn take(&mut self, bytes: &Bytes) -> Result<(), io::Error> {
        let count = bytes.len() as u64;
        if let Some(left) = &mut self.left {
            match left.checked_sub(count) {
                Some(rest) => *left = rest,
                None => return Err(self.fail("there are more bytes than announced".into())),
            }
        }
        self.flow.state().moved += count;
        Ok(())
    }
}

impl Stream for Body {
    type Item = Result<Bytes, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.pieces.as_mut().poll_next(cx);
        {
            let mut state = self.flow.state();
            state.last = Instant::now();
            state.at_source = polled.is_pending();
        }
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(bytes))) => match self.take(&bytes) {
                Ok(()) => Poll::Ready(Some(Ok(bytes))),
                Err(error) => Poll::Ready(Some(Err(error))),
            },
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(self.fail(error)))),
            Poll::Ready(None) => match self.left {
                Some(left) if left > 0 => {
                    let error = self.fail(format!("there are {left} bytes fewer than announced").into());
                    self.left = None;
                    Poll::Ready(Some(Err(error)))
                }
                _ => Poll::Ready(None),
            },
        }
    }
}
