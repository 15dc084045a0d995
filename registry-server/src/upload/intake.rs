//! Receiving a body while a blocking thread works on what came before.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::OptionFuture;
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

use super::Chunk;
use super::sink::Sink;
use crate::refusal::{Refusal, Result};

/// A request's body.
pub trait Incoming: http_body::Body<Data = Bytes, Error: Into<Refusal>> + Unpin + Send + 'static {}

impl<B: http_body::Body<Data = Bytes, Error: Into<Refusal>> + Unpin + Send + 'static> Incoming for B {}

/// A body up to this size that is all there is of its blob is held in memory and stored in one go.
const SMALL: u64 = 64 << 10;

/// How much of a body is received ahead of its hashing.
const AHEAD: usize = 256 << 10;

/// How many bodies may be received ahead at once; more take turns with their hashing. 256 uploads stay within 48 MiB so.
const AHEAD_BODIES: usize = 16;

/// What a client that was refused may go on sending, so that it reads the refusal and no reset.
const LINGER_BYTES: u64 = 8 << 20;
/// How long it may take to.
const LINGER: Duration = Duration::from_secs(1);

/// What all bodies share.
#[derive(Debug)]
pub(super) struct Intake {
    /// Blocking threads that write and hash at once.
    workers: Arc<Semaphore>,
    ahead: Arc<Semaphore>,
}

type Job = Pin<Box<dyn Future<Output = Result<(Sink, Result<()>)>> + Send>>;

impl Intake {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers: Arc::new(Semaphore::new(workers)), ahead: Arc::new(Semaphore::new(AHEAD_BODIES)) }
    }

    /// Receives all of a body; gives the sink back, and whether all was well. What came before an error is in the sink.
    ///
    /// # Errors
    /// When the sink is lost.
    pub(super) async fn receive<B: Incoming>(&self, sink: Sink, body: &mut B) -> Result<(Sink, Result<()>)> {
        let ahead = self.ahead.try_acquire();
        let most = if ahead.is_ok() { AHEAD } else { 0 };
        let (mut idle, mut job) = (Some(sink), None::<Job>);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let (mut received, mut ended) = (0_u64, None);
        loop {
            if !batch.is_empty()
                && let Some(sink) = idle.take()
            {
                job = Some(self.work(sink, std::mem::take(&mut batch)));
                bytes = 0;
            }
            tokio::select! {
                Some(done) = OptionFuture::from(job.as_mut()), if job.is_some() => {
                    job = None;
                    match done? {
                        (sink, Ok(())) => idle = Some(sink),
                        failed => return Ok(failed),
                    }
                }
                frame = next(body), if ended.is_none() && (job.is_none() || bytes < most) => match frame {
                    Ok(Some(frame)) => {
                        received += frame.len() as u64;
                        bytes += frame.len();
                        batch.push(frame);
                    }
                    Ok(None) => ended = Some(Ok(())),
                    Err(refusal) => ended = Some(Err(refusal)),
                },
                else => break,
            }
        }
        let sink = idle.ok_or_else(|| Refusal::internal("an upload lost its sink"))?;
        let whole = ended.unwrap_or(Ok(())).and_then(|()| sink.complete(received));
        Ok((sink, whole))
    }

    fn work(&self, mut sink: Sink, frames: Vec<Bytes>) -> Job {
        let workers = Arc::clone(&self.workers);
        Box::pin(async move {
            let _turn = workers.acquire_owned().await.map_err(Refusal::internal)?;
            let work = move || {
                let taken = sink.take(&frames);
                (sink, taken)
            };
            tokio::task::spawn_blocking(work).await.map_err(Refusal::internal)
        })
    }
}

/// The next bytes of a body; `None` at its end.
async fn next<B: Incoming>(body: &mut B) -> Result<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        match frame.map_err(Into::into)?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            _ => {}
        }
    }
    Ok(None)
}

/// All of a body that announces little. `None` where it announces more, or nothing.
pub(super) async fn small<B: Incoming>(body: &mut B, chunk: &Chunk) -> Result<Option<Bytes>> {
    let Some(length) = chunk.length.filter(|length| *length <= SMALL) else { return Ok(None) };
    let Some(first) = next(body).await? else { return Ok(Some(Bytes::new())) };
    if first.len() as u64 == length {
        return Ok(Some(first));
    }
    let mut all = BytesMut::from(first.as_ref());
    while let Some(more) = next(body).await? {
        all.extend_from_slice(&more);
    }
    Ok(Some(all.freeze()))
}

/// Reads on, within bounds, what a refused client sends: closing a socket that holds unread bytes resets it. One that `waits`
/// is not told to go on.
pub(super) async fn linger<B: Incoming, T>(done: Result<T>, body: &mut B, waits: bool) -> Result<T> {
    if done.is_err() && !waits {
        let mut left = LINGER_BYTES;
        let drain = async {
            while let Ok(Some(frame)) = next(body).await {
                left = left.saturating_sub(frame.len() as u64);
                if left == 0 {
                    break;
                }
            }
        };
        let _in_time_or_not = tokio::time::timeout(LINGER, drain).await;
    }
    done
}
