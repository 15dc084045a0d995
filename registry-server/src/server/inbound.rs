//! Bodies of requests: hyper's, with a limit on silence.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use oci::ErrorCode;
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, Sleep};

use crate::refusal::Refusal;

/// The body of a request. It fails when the client sends nothing for too long.
#[derive(Debug)]
pub struct Inbound {
    incoming: Incoming,
    timeout: Duration,
    /// Made at the first wait: most bodies have arrived with their headers.
    silence: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    received: u64,
    counter: Counter,
}

/// Why a body did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InboundError {
    /// Nothing came for this long.
    #[error("the client sent nothing of its body for {0:?}")]
    Silent(Duration),
    /// The connection ended, or broke HTTP.
    #[error("the request's body was cut off: {0}")]
    Cut(#[from] hyper::Error),
}

impl From<InboundError> for Refusal {
    fn from(error: InboundError) -> Self {
        match error {
            InboundError::Silent(_) => Self::plain(StatusCode::REQUEST_TIMEOUT, error.to_string()),
            InboundError::Cut(_) => {
                Self::new(StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid, "the request's body was cut off")
            }
        }
        .because(error)
    }
}

impl Inbound {
    /// Wraps hyper's body.
    pub(super) fn new(incoming: Incoming, timeout: Duration, counter: Counter) -> Self {
        Self { incoming, timeout, silence: None, waiting: false, received: 0, counter }
    }

    /// Bytes that arrived so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The next bytes; `None` at the end. Trailers are dropped.
    ///
    /// # Errors
    /// [`InboundError`], after which the body is spent.
    pub async fn next(&mut self) -> Result<Option<Bytes>, InboundError> {
        while let Some(frame) = self.frame().await {
            if let Ok(data) = frame?.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

impl http_body::Body for Inbound {
    type Data = Bytes;
    type Error = InboundError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, InboundError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            this.waiting = false;
            if let Some(Ok(frame)) = &frame {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.received += length;
                this.counter.inc_by(length);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(InboundError::Cut)));
        }
        let silence = this.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.timeout)));
        if !this.waiting {
            this.waiting = true;
            silence.as_mut().reset(Instant::now() + this.timeout);
        }
        ready!(silence.as_mut().poll(cx));
        Poll::Ready(Some(Err(InboundError::Silent(this.timeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
