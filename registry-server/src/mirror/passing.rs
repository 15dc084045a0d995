//! Blobs that are not kept: there is no room, so they pass from the upstream to the client.
//!
//! As with those that are kept, the end is held back until all is verified.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use http::StatusCode;
use remote::{Blob, ByteRange, VerifiedBlob};

use super::blob::{Trouble, headers, sliced, unsatisfiable};
use super::flight::Key;
use super::names::Place;
use super::{Answer, Chunks, Shared};
use crate::range::{self, Wanted};

impl Shared {
    /// Answers a `GET` without keeping anything.
    pub(super) async fn pass(&self, key: &Key, place: &Place, range: Option<&str>) -> Result<Answer, Trouble> {
        self.figures.passed.inc();
        let blob = self.open_at(key, place, None).await?;
        let Some(size) = blob.size() else {
            let body: Chunks = Box::pin(held_back(blob.verified(None)));
            return Ok(Answer { status: StatusCode::OK, headers: headers(&key.1, None), body: Some(body) });
        };
        match range::wanted(range, size) {
            Wanted::Whole => {
                let body: Chunks = Box::pin(held_back(blob.verified(Some(size))));
                Ok(Answer { status: StatusCode::OK, headers: headers(&key.1, Some(size)), body: Some(body) })
            }
            Wanted::Slice(slice) => {
                let asked = ByteRange { start: slice.start, end: Some(slice.end - 1) };
                let blob = self.open_at(key, place, Some(asked)).await?;
                let body: Chunks = Box::pin(blob.into_stream().map_err(io::Error::other));
                Ok(Answer {
                    status: StatusCode::PARTIAL_CONTENT,
                    headers: sliced(&key.1, &slice, size)?,
                    body: Some(body),
                })
            }
            Wanted::Unsatisfiable => Err(Trouble::Told(unsatisfiable(size))),
        }
    }

    /// The upstream's answer for a blob or a range of it.
    pub(super) async fn open_at(&self, key: &Key, place: &Place, range: Option<ByteRange>) -> Result<Blob, Trouble> {
        let ask = |there: remote::Repository| async move { there.blob(&key.1, range).await };
        Ok(self.upstream(place).ask(&place.name, ask).await?)
    }
}

/// Gives out each piece when the next one has come, and the last one when all is verified.
fn held_back(blob: VerifiedBlob) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures_util::stream::try_unfold((Some(blob), None::<Bytes>), |(blob, held)| async move {
        let Some(mut blob) = blob else { return Ok(None) };
        let mut held = held;
        loop {
            match blob.next().await.map_err(io::Error::other)? {
                Some(piece) => {
                    if let Some(before) = held.replace(piece) {
                        return Ok(Some((before, (Some(blob), held))));
                    }
                }
                None => return Ok(held.map(|last| (last, (None, None)))),
            }
        }
    })
}
