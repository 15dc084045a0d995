//! Blobs of upstreams that are not here yet.
//!
//! A `GET` joins the fetch of the blob or starts it, and its answer begins as soon as the upstream's does. A range that
//! begins far beyond what has come is asked of the upstream on its own and not kept. `HEAD` asks the upstream. A blob that another
//! repository here holds already is not fetched: the upstream is asked whether this repository has it, too.
//!
//! Ranges that end before the blob does cannot be verified before they are sent: clients that ask for them verify by
//! other means, as they must with any registry.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use oci::{Digest, ErrorCode, RepositoryName};
use remote::ByteRange;

use super::flight::{Flight, Key, Waiter};
use super::names::Place;
use super::upstream::Failure;
use super::{Answer, Shared, fetch};
use crate::range::{self, Wanted};
use crate::refusal::{Refusal, Result};
use crate::time;

/// How far ahead of the fetch a range may begin and still wait for it.
const AHEAD: u64 = 4 << 20;
/// The header that names a digest.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

impl Shared {
    /// See [`super::Mirror::blob`].
    pub(super) async fn blob(
        self: &Arc<Self>,
        repository: &RepositoryName,
        place: &Place,
        digest: &Digest,
        method: &Method,
        range: Option<&HeaderValue>,
    ) -> Result<Answer> {
        let key = (repository.clone(), *digest);
        let refusal = |failure: Failure| failure.refusal(&self.upstream(place).name, ErrorCode::BlobUnknown);
        if self.is_absent(&key, self.upstream(place).negative_ttl) {
            return Err(refusal(Failure::Absent));
        }
        let outcome = if *method == Method::HEAD {
            self.head(&key, place).await
        } else {
            self.get(&key, place, range.and_then(|value| value.to_str().ok())).await
        };
        outcome.map_err(|error| match error {
            Trouble::Upstream(failure) => refusal(failure),
            Trouble::Told(refusal) => refusal,
        })
    }

    async fn head(&self, key: &Key, place: &Place) -> Result<Answer, Trouble> {
        let under_way = self.flights.get(key).and_then(|progress| progress.size);
        let size = match under_way {
            Some(size) => Some(size),
            None => self.ask_size(key, place).await?,
        };
        Ok(Answer { status: StatusCode::OK, headers: headers(&key.1, size), body: None })
    }

    /// The size of a blob, if the upstream has it.
    async fn ask_size(&self, key: &Key, place: &Place) -> Result<Option<u64>, Failure> {
        if !place.allowed {
            return Err(Failure::Refused);
        }
        let ask = |there: remote::Repository| async move { there.head_blob(&key.1).await };
        let known = self.upstream(place).ask(&place.name, ask).await;
        if matches!(known, Err(Failure::Absent)) {
            self.remember_absent(key);
        }
        Ok(known?.size)
    }

    /// Remembers that the upstream has no such blob.
    pub(super) fn remember_absent(&self, key: &Key) {
        self.absent.insert(key.clone(), Instant::now());
    }

    fn is_absent(&self, key: &Key, ttl: Duration) -> bool {
        self.absent.get(key).is_some_and(|since| since.elapsed() < ttl)
    }

    async fn get(self: &Arc<Self>, key: &Key, place: &Place, range: Option<&str>) -> Result<Answer, Trouble> {
        let mut waiter = match self.here(key, place).await? {
            Some(landed) => landed.wait(),
            None => self.join(key, place),
        };
        let size = match waiter.opened().await {
            Err(Failure::Full) => return self.pass(key, place, range).await,
            other => other?,
        };
        let Some(size) = size else {
            // Nothing can be said about ranges of what has no known end.
            let body = Some(Box::pin(waiter.into_stream(None)) as super::Chunks);
            return Ok(Answer { status: StatusCode::OK, headers: headers(&key.1, None), body });
        };
        match range::wanted(range, size) {
            Wanted::Whole => {
                let body = Some(Box::pin(waiter.into_stream(Some(0..size))) as super::Chunks);
                Ok(Answer { status: StatusCode::OK, headers: headers(&key.1, Some(size)), body })
            }
            Wanted::Unsatisfiable => Err(Trouble::Told(unsatisfiable(size))),
            Wanted::Slice(slice) => self.slice(key, place, waiter, size, slice).await,
        }
    }

    /// Joins the fetch of a blob, or starts it.
    fn join(self: &Arc<Self>, key: &Key, place: &Place) -> Waiter {
        self.flights.join(key, |flight| {
            tokio::spawn(fetch::run(Arc::clone(self), key.clone(), place.clone(), flight));
        })
    }

    async fn slice(
        &self,
        key: &Key,
        place: &Place,
        waiter: Waiter,
        size: u64,
        slice: Range<u64>,
    ) -> Result<Answer, Trouble> {
        let headers = sliced(&key.1, &slice, size)?;
        let body: super::Chunks = if slice.start > waiter.written().saturating_add(AHEAD) {
            let asked = ByteRange { start: slice.start, end: Some(slice.end - 1) };
            let blob = self.open_at(key, place, Some(asked)).await?;
            if blob.size().is_some_and(|found| found != size) {
                return Err(Trouble::Upstream(Failure::Wrong(format!("{}: another size than before", key.1))));
            }
            use futures_util::TryStreamExt as _;
            // The waiter goes along, so that the fetch of the whole goes on meanwhile.
            Box::pin(blob.into_stream().map_err(std::io::Error::other).inspect_ok(move |_| {
                let _ = &waiter;
            }))
        } else {
            Box::pin(waiter.into_stream(Some(slice)))
        };
        Ok(Answer { status: StatusCode::PARTIAL_CONTENT, headers, body: Some(body) })
    }

    /// A blob that came here since the caller looked, or that another repository here holds and the upstream has in this
    /// one, too.
    async fn here(self: &Arc<Self>, key: &Key, place: &Place) -> Result<Option<Arc<Flight>>, Trouble> {
        if self.flights.get(key).is_some() {
            return Ok(None);
        }
        let known = key.clone();
        let (row, elsewhere) = self
            .blocking(move |shared| {
                let row = shared.metadata.blob(&known.0, &known.1)?;
                let holder = match row {
                    Some(_) => None,
                    None => shared.metadata.holders(&known.1, 1)?.pop(),
                };
                Ok((row, holder))
            })
            .await?;
        let from = match (row, elsewhere) {
            (None, None) => return Ok(None),
            (Some(_), _) => None,
            (None, Some(from)) => {
                // That bytes are known here proves nothing of this repository: its upstream says.
                self.ask_size(key, place).await?;
                Some(from)
            }
        };
        let key = key.clone();
        let landed = self.blocking(move |shared| {
            if let Some(from) = from
                && !shared.metadata.mount_blob(&key.0, &key.1, &from, &[], time::Instant::now())?
            {
                return Ok(None);
            }
            let Some(row) = shared.metadata.blob(&key.0, &key.1)? else { return Ok(None) };
            let object = shared.objects.open(&row.key)?;
            Ok(Some(Flight::landed(object.file, row.size)))
        });
        Ok(landed.await?)
    }
}

/// Why a blob is not answered.
pub(super) enum Trouble {
    Upstream(Failure),
    Told(Refusal),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Upstream(failure)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Trouble::Told(refusal)
    }
}

pub(super) fn headers(digest: &Digest, length: Option<u64>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(value) = HeaderValue::try_from(digest.to_string()) {
        headers.insert(CONTENT_DIGEST, value);
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    headers
}

/// Those of an answer that holds a part.
pub(super) fn sliced(digest: &Digest, slice: &Range<u64>, size: u64) -> Result<HeaderMap> {
    let mut headers = headers(digest, Some(slice.end - slice.start));
    let text = format!("bytes {}-{}/{size}", slice.start, slice.end - 1);
    headers.insert(header::CONTENT_RANGE, HeaderValue::try_from(text).map_err(Refusal::internal)?);
    Ok(headers)
}

pub(super) fn unsatisfiable(size: u64) -> Refusal {
    let refusal =
        Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::SizeInvalid, format!("the blob has {size} bytes"));
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(value) => refusal.with(header::CONTENT_RANGE, value),
        Err(_) => refusal,
    }
}
