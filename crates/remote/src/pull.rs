//! Blobs: streamed, taken up again where a connection broke, and verified by whoever wants that.
//! Specification: OCI distribution-spec, "Pulling blobs"; RFC 9110, section 14.

use bytes::Bytes;
use futures_util::Stream;
use http::{Method, StatusCode, header};
use oci::{Digest, Hasher};

use crate::client::Repository;
use crate::error::{Error, Result};
use crate::manifest::{Known, known};
use crate::range::{ByteRange, ContentRange};
use crate::retry;

/// After so many bytes without a break, the tries are counted anew: large blobs may break more often than small ones,
/// and a host that breaks after every few bytes is given up.
const PROGRESS: u64 = 64 * 1024;

/// The bytes of a blob on their way. They are not verified: see [`Blob::verified`].
pub struct Blob {
    repository: Repository,
    digest: Digest,
    what: String,
    /// The size of the whole blob, once it is known.
    size: Option<u64>,
    /// The next byte to be given out.
    at: u64,
    /// The byte after the last one that is wanted; `None`: all.
    end: Option<u64>,
    /// Bytes of the current answer to be passed over, where the host does not know ranges.
    skip: u64,
    response: Option<reqwest::Response>,
    /// Whether the current answer holds a range.
    partial: bool,
    ranges: Ranges,
    failures: u32,
    /// `at` when the current answer began.
    mark: u64,
    done: bool,
}

/// How a host is asked for less than all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// By ranges; where all of it comes, what is not wanted is passed over.
    Wanted,
    /// By ranges, and all of it will not do.
    Needed,
    /// Never: it does not bear the question.
    Avoided,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} of {:?} at {})", self.what, self.size, self.at)
    }
}

impl Repository {
    /// Begins to fetch a blob, or a range of it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn blob(&self, digest: &Digest, range: Option<ByteRange>) -> Result<Blob> {
        self.open_blob(digest, range, Ranges::Wanted).await
    }

    /// As [`Repository::blob`], with a word on how.
    pub(crate) async fn open_blob(&self, digest: &Digest, range: Option<ByteRange>, ranges: Ranges) -> Result<Blob> {
        let start = range.map_or(0, |range| range.start);
        let end = range.and_then(|range| range.end).map(|last| last.saturating_add(1));
        let mut blob = Blob {
            repository: self.clone(),
            digest: *digest,
            what: format!("blob {digest}"),
            size: None,
            at: start,
            end,
            skip: 0,
            response: None,
            partial: false,
            ranges,
            failures: 0,
            mark: start,
            done: end.is_some_and(|end| end <= start),
        };
        if !blob.done {
            blob.open().await?;
        }
        Ok(blob)
    }

    /// Asks about a blob.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn head_blob(&self, digest: &Digest) -> Result<Known> {
        let what = format!("blob {digest}");
        let call = self.call(Method::HEAD, &format!("blobs/{digest}"), "pull", what).await?;
        Ok(known(self.ask(call, &[StatusCode::OK]).await?.headers()))
    }
}

impl Blob {
    /// The size of the whole blob; `None` where the host does not say.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Whether the answer that is being read holds a range, and not all of the blob.
    pub(crate) fn is_partial(&self) -> bool {
        self.partial
    }

    /// Wants all that follows, where an end was asked for and the host knows no ranges.
    pub(crate) fn want_all(&mut self) {
        self.end = None;
    }

    /// The next byte that [`Blob::next`] gives.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Compares all bytes with the digest, and their number with `size`, at the end and not before.
    pub fn verified(self, size: Option<u64>) -> VerifiedBlob {
        let hasher = Some(Hasher::new(self.digest.algorithm()));
        VerifiedBlob { blob: self, hasher, expected: size }
    }

    /// The next bytes; `None` at the end. Breaks are mended on the way.
    ///
    /// # Errors
    /// See [`Error`]; after one there is nothing more.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.done {
            match self.step().await {
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                Ok(None) => {}
                Err(error) => {
                    self.done = true;
                    self.response = None;
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    async fn step(&mut self) -> Result<Option<Bytes>> {
        let Some(response) = &mut self.response else {
            self.open().await?;
            return Ok(None);
        };
        match response.chunk().await {
            Ok(Some(bytes)) => self.take(bytes),
            Ok(None) => self.ended().await.map(|()| None),
            Err(error) => {
                let error = self.repository.registry.transport_error(self.repository.name.as_str(), &self.what, error);
                self.broke(error).await.map(|()| None)
            }
        }
    }

    fn take(&mut self, mut bytes: Bytes) -> Result<Option<Bytes>> {
        let skipped = self.skip.min(bytes.len() as u64);
        self.skip -= skipped;
        let _ = bytes.split_to(usize::try_from(skipped).unwrap_or(bytes.len()));
        let end = [self.end, self.size].into_iter().flatten().min();
        let left = end.map(|end| end - self.at.min(end));
        if let Some(left) = left
            && bytes.len() as u64 >= left
        {
            if bytes.len() as u64 > left && self.size == end && self.end != end {
                let expected = self.size.unwrap_or(0);
                let found = self.at + bytes.len() as u64;
                return Err(Error::Length { place: self.repository.place(), what: self.what.clone(), expected, found });
            }
            // More than was wanted of a host that does not know ranges: what is beyond is not taken.
            bytes.truncate(usize::try_from(left).unwrap_or(bytes.len()));
            self.done = true;
            self.response = None;
        }
        self.at += bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    /// The answer is over: at the end, or before it.
    async fn ended(&mut self) -> Result<()> {
        self.response = None;
        let wanted = [self.end, self.size].into_iter().flatten().min();
        match wanted {
            Some(wanted) if self.at < wanted || self.skip > 0 => {
                let (place, what) = (self.repository.place(), self.what.clone());
                self.broke(Error::Length { place, what, expected: wanted, found: self.at }).await
            }
            _ => {
                self.done = true;
                Ok(())
            }
        }
    }

    /// Waits before the next try, or gives up.
    async fn broke(&mut self, error: Error) -> Result<()> {
        self.response = None;
        if self.at - self.mark >= PROGRESS {
            self.failures = 0;
        }
        self.failures += 1;
        let policy = self.repository.registry.shared.options.retry;
        let Some(wait) = policy.wait(self.failures, None, retry::dice()) else { return Err(error) };
        tracing::debug!(blob = %self.digest, at = self.at, %error, "taking up again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Asks for what is still to come.
    async fn open(&mut self) -> Result<()> {
        let path = format!("blobs/{}", self.digest);
        let call = self.repository.call(Method::GET, &path, "pull", self.what.clone()).await?;
        let mut call = call.header(header::ACCEPT_ENCODING, "identity");
        if self.ranges != Ranges::Avoided && (self.at > 0 || self.end.is_some()) {
            let range = ByteRange { start: self.at, end: self.end.map(|end| end - 1) };
            call = call.header(header::RANGE, &range.header());
        }
        let response = self.repository.ask(call, &[StatusCode::OK, StatusCode::PARTIAL_CONTENT]).await?;
        self.mark = self.at;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            self.check_range(&response)?;
            self.partial = true;
        } else if self.ranges == Ranges::Needed {
            return Err(Error::Malformed {
                place: self.repository.place(),
                what: self.what.clone(),
                problem: "the registry sent all of it, and was asked for a range".to_owned(),
            });
        } else {
            self.partial = false;
            // Without ranges the host starts again, and so do we: what we have is passed over.
            self.learn_size(response.content_length())?;
            self.skip = self.at;
        }
        self.response = Some(response);
        Ok(())
    }

    fn check_range(&mut self, response: &reqwest::Response) -> Result<()> {
        let text = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let malformed = || Error::Malformed {
            place: self.repository.place(),
            what: self.what.clone(),
            problem: format!("asked from byte {}, the registry sent `{}`", self.at, crate::error::printable(text)),
        };
        let found = ContentRange::parse(text).ok_or_else(malformed)?;
        if found.start != self.at || self.end.is_some_and(|end| found.end >= end) {
            return Err(malformed());
        }
        self.skip = 0;
        self.learn_size(found.total)
    }

    fn learn_size(&mut self, size: Option<u64>) -> Result<()> {
        match (self.size, size) {
            (Some(known), Some(new)) if known != new => {
                let (place, what) = (self.repository.place(), self.what.clone());
                Err(Error::Length { place, what, expected: known, found: new })
            }
            (None, Some(new)) => {
                self.size = Some(new);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        futures_util::stream::try_unfold(
            self,
            |mut blob| async move { Ok(blob.next().await?.map(|bytes| (bytes, blob))) },
        )
    }
}

/// A blob whose end is an error unless its bytes were those of its digest.
#[derive(Debug)]
pub struct VerifiedBlob {
    blob: Blob,
    hasher: Option<Hasher>,
    expected: Option<u64>,
}

impl VerifiedBlob {
    /// The next bytes; `None` once all are verified.
    ///
    /// # Errors
    /// See [`Error`]: [`Error::Length`] as soon as there are too many bytes, [`Error::Digest`] at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let length = |blob: &Blob, expected, found| Error::Length {
            place: blob.repository.place(),
            what: blob.what.clone(),
            expected,
            found,
        };
        if let (Some(expected), Some(found)) = (self.expected, self.blob.size)
            && expected != found
        {
            return Err(length(&self.blob, expected, found));
        }
        let next = self.blob.next().await?;
        let Some(hasher) = &mut self.hasher else { return Ok(None) };
        match next {
            Some(bytes) => {
                hasher.update(&bytes);
                match self.expected {
                    Some(expected) if hasher.size() > expected => Err(length(&self.blob, expected, hasher.size())),
                    _ => Ok(Some(bytes)),
                }
            }
            None => {
                let hasher = self.hasher.take().unwrap_or_else(Hasher::sha256);
                if let Some(expected) = self.expected.filter(|expected| *expected != hasher.size()) {
                    return Err(length(&self.blob, expected, hasher.size()));
                }
                let found = hasher.finish();
                if found == self.blob.digest {
                    return Ok(None);
                }
                let (place, what) = (self.blob.repository.place(), self.blob.what.clone());
                Err(Error::Digest { place, what, expected: self.blob.digest, found })
            }
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        futures_util::stream::try_unfold(
            self,
            |mut blob| async move { Ok(blob.next().await?.map(|bytes| (bytes, blob))) },
        )
    }
}
