//! Where the bytes of an upload come from.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt as _};
use oci::Digest;

use crate::client::Repository;
use crate::range::ByteRange;

/// Why a source gave no bytes.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// A blob's bytes from some offset to its end, in pieces of any size.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, SourceError>> + Send>>;

/// A blob that can be read from any offset, as often as an upload is taken up again.
///
/// What it gives is compared by the registry with [`Source::known`]; a source of untrusted bytes need not verify them.
pub trait Source: Send + Sync {
    /// Digest and size; `None` while the blob is still being made. They are known once the pieces that
    /// [`Source::open`] gave have come to their end.
    fn known(&self) -> Option<(Digest, u64)>;

    /// The bytes from `offset` on, which is never past the end.
    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Pieces, SourceError>>;
}

/// One piece. Two of them are under way for each upload: one on the wire, one being read.
const READ: usize = 256 << 10;

/// A few bytes in memory: a configuration.
#[derive(Debug, Clone)]
pub struct BytesSource {
    digest: Digest,
    bytes: Bytes,
}

impl BytesSource {
    /// These bytes.
    pub fn new(digest: Digest, bytes: Bytes) -> Self {
        Self { digest, bytes }
    }
}

impl Source for BytesSource {
    fn known(&self) -> Option<(Digest, u64)> {
        Some((self.digest, self.bytes.len() as u64))
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Pieces, SourceError>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        let rest = self.bytes.slice(start..);
        let pieces = futures_util::stream::unfold(rest, |mut rest| async move {
            let piece = rest.split_to(rest.len().min(READ));
            (!piece.is_empty()).then_some((Ok(piece), rest))
        });
        Box::pin(async move { Ok(Box::pin(pieces) as Pieces) })
    }
}

/// A file, or a part of one: a blob of a layout, or a member of an archive.
#[derive(Debug, Clone)]
pub struct FileSource {
    path: PathBuf,
    start: u64,
    digest: Digest,
    size: u64,
}

impl FileSource {
    /// A whole file.
    pub fn new(path: PathBuf, digest: Digest, size: u64) -> Self {
        Self::part(path, 0, digest, size)
    }

    /// `size` bytes of a file from `start` on.
    pub fn part(path: PathBuf, start: u64, digest: Digest, size: u64) -> Self {
        Self { path, start, digest, size }
    }
}

impl Source for FileSource {
    fn known(&self) -> Option<(Digest, u64)> {
        Some((self.digest, self.size))
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Pieces, SourceError>> {
        let (path, at, end) = (self.path.clone(), self.start + offset, self.start + self.size);
        Box::pin(async move {
            let named = |path: PathBuf| move |error: io::Error| format!("{}: {error}", path.display());
            let opened = path.clone();
            let file = tokio::task::spawn_blocking(move || std::fs::File::open(opened)).await?;
            let file = std::sync::Arc::new(file.map_err(named(path.clone()))?);
            let pieces = futures_util::stream::try_unfold(at, move |at| {
                let (file, path) = (std::sync::Arc::clone(&file), path.clone());
                async move {
                    if at >= end {
                        return Ok(None);
                    }
                    let length = usize::try_from(end - at).unwrap_or(READ).min(READ);
                    let read = tokio::task::spawn_blocking(move || read_piece(&file, at, length)).await?;
                    let bytes = read.map_err(named(path))?;
                    let next = at + bytes.len() as u64;
                    Ok::<_, SourceError>(Some((bytes, next)))
                }
            });
            Ok(Box::pin(pieces) as Pieces)
        })
    }
}

/// `length` bytes at `at`, fewer only at the end of the file; none is an error.
fn read_piece(file: &std::fs::File, at: u64, length: usize) -> io::Result<Bytes> {
    use std::os::unix::fs::FileExt as _;
    let mut buffer = vec![0; length];
    let count = loop {
        match file.read_at(&mut buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if count == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than it should be"));
    }
    buffer.truncate(count);
    Ok(Bytes::from(buffer))
}

/// A blob of a registry: it goes through this process and touches no disk.
#[derive(Clone)]
pub struct RemoteSource {
    places: Vec<Repository>,
    digest: Digest,
    size: u64,
}

impl fmt::Debug for RemoteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteSource({} of {:?})", self.digest, self.places)
    }
}

impl RemoteSource {
    /// The blob in the first of these repositories that has it.
    pub fn new(places: Vec<Repository>, digest: Digest, size: u64) -> Self {
        Self { places, digest, size }
    }
}

impl Source for RemoteSource {
    fn known(&self) -> Option<(Digest, u64)> {
        Some((self.digest, self.size))
    }

    fn open(&self, offset: u64) -> BoxFuture<'_, Result<Pieces, SourceError>> {
        Box::pin(async move {
            if offset >= self.size {
                return Ok(futures_util::stream::empty().boxed());
            }
            let mut last: SourceError = format!("no repository is known to have {}", self.digest).into();
            for place in &self.places {
                let range = (offset > 0).then_some(ByteRange { start: offset, end: None });
                match place.blob(&self.digest, range).await {
                    Ok(blob) => {
                        let pieces = futures_util::stream::try_unfold(blob, |mut blob| async move {
                            let next = blob.next().await.map_err(SourceError::from)?;
                            Ok::<_, SourceError>(next.map(|bytes| (bytes, blob)))
                        });
                        return Ok(Box::pin(pieces) as Pieces);
                    }
                    Err(error) => last = error.into(),
                }
            }
            Err(last)
        })
    }
}
