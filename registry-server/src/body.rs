//! What is sent: nothing, bytes in memory, a stretch of a mapped object, or a stream.
//!
//! Objects never change, so they are mapped and handed to the connection as they are: no copy in this process. The
//! reactor must not wait for a disk, so a window of a map is sent when its pages are in memory, and read in on a
//! blocking thread when they are not.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};
use quick_cache::sync::Cache;
use sys::mapped::Mapped;
use tokio::task::JoinHandle;

use crate::metadata::BlobRow;
use crate::storage::{self, ObjectKey, Objects};

/// How much of a map goes to a plain connection at a time. The socket takes what it can; a window is the unit of asking
/// whether pages are in memory, and of reading ahead.
pub const WINDOW_PLAIN: usize = 8 << 20;

/// The same for an encrypted connection, where every byte of a window is copied: little enough not to hold up the reactor.
pub const WINDOW_TLS: usize = 256 << 10;

/// How many objects stay mapped. Maps cost address space and page tables, no memory of their own; the kernel allows 65,530
/// to a process.
const MAPS: usize = 2048;

/// A response's body.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// These bytes.
    Full(Bytes),
    /// A stretch of an object.
    Mapped(MappedBody),
    /// Bytes as they come. An error ends the connection, so that nobody takes what came before for all of it.
    Stream(Chunks),
}

/// Bytes as they come.
pub type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

impl Body {
    /// The body of a stream. An `Err` ends the connection.
    pub fn stream(chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self::Stream(Box::pin(chunks))
    }

    /// Bytes `range` of an object, in windows of at most `window` bytes.
    pub fn mapped(mapping: Arc<Mapping>, range: Range<u64>, window: usize) -> Self {
        let clip = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(mapping.bytes.len());
        let (at, end) = (clip(range.start), clip(range.end));
        if at >= end {
            return Self::Empty;
        }
        Self::Mapped(MappedBody { mapping, at, end, read_to: 0, window: window.max(1), reading: None })
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::Full(bytes.into())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match &mut *self {
            Self::Empty => None,
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                (!bytes.is_empty()).then_some(Ok(bytes))
            }
            Self::Mapped(mapped) => ready!(mapped.poll_window(cx)),
            Self::Stream(chunks) => ready!(chunks.as_mut().poll_next(cx)),
        };
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Mapped(mapped) => mapped.at == mapped.end,
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Mapped(mapped) => SizeHint::with_exact((mapped.end - mapped.at) as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// A stretch of a mapped object on its way out.
pub struct MappedBody {
    mapping: Arc<Mapping>,
    /// The next byte to send.
    at: usize,
    end: usize,
    /// Up to where pages have been read in for this body.
    read_to: usize,
    window: usize,
    reading: Option<JoinHandle<sys::Result<()>>>,
}

impl MappedBody {
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.at == self.end {
            return Poll::Ready(None);
        }
        let stop = self.end.min(self.at.saturating_add(self.window));
        if let Some(reading) = &mut self.reading {
            let read = ready!(Pin::new(reading).poll(cx));
            self.reading = None;
            match read {
                Ok(Ok(())) => self.read_to = stop,
                Ok(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                Err(error) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            }
        }
        if self.read_to < stop && !self.mapping.map.resident(self.at..stop) {
            let (map, window) = (Arc::clone(&self.mapping.map), self.at..stop);
            let ahead = stop..self.end.min(stop.saturating_add(self.window));
            self.reading = Some(tokio::task::spawn_blocking(move || {
                map.populate(window)?;
                map.will_need(ahead);
                Ok(())
            }));
            return self.poll_window(cx);
        }
        let bytes = self.mapping.bytes.slice(self.at..stop);
        self.at = stop;
        Poll::Ready(Some(Ok(bytes)))
    }
}

/// An object in the address space.
pub struct Mapping {
    map: Arc<Mapped>,
    bytes: Bytes,
}

impl Mapping {
    fn new(map: Mapped) -> Self {
        struct Owner(Arc<Mapped>);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let map = Arc::new(map);
        Self { bytes: Bytes::from_owner(Owner(Arc::clone(&map))), map }
    }

    /// Its size.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// Objects that were asked for lately, mapped.
pub struct Maps {
    maps: Cache<ObjectKey, Arc<Mapping>>,
}

impl Default for Maps {
    fn default() -> Self {
        Self { maps: Cache::new(MAPS) }
    }
}

impl Maps {
    /// An object that is mapped already.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Mapping>> {
        self.maps.get(key)
    }

    /// Maps the object of a row. Blocking.
    ///
    /// # Errors
    /// [`storage::Error::Missing`] where the object is not there, or has not the row's size.
    pub fn open(&self, objects: &dyn Objects, row: &BlobRow) -> storage::Result<Arc<Mapping>> {
        if let Some(mapping) = self.maps.get(&row.key) {
            return Ok(mapping);
        }
        let object = objects.open(&row.key)?;
        let mapped = Mapped::new(&object.file).map_err(|error| storage::Error::Io {
            call: "mmap",
            path: row.key.0.clone().into(),
            source: io::Error::other(error),
        })?;
        if mapped.len() as u64 != row.size {
            return Err(storage::Error::Missing(format!("{} with {} bytes", row.key.0, row.size)));
        }
        let mapping = Arc::new(Mapping::new(mapped));
        self.maps.insert(row.key.clone(), Arc::clone(&mapping));
        Ok(mapping)
    }

    /// Lets go of an object that is being removed, so that its bytes are freed as soon as nobody reads them.
    pub fn forget(&self, key: &ObjectKey) {
        self.maps.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FsObjects;
    use http_body_util::BodyExt as _;
    use oci::Digest;

    fn mapping(bytes: &[u8]) -> (tempfile::TempDir, Maps, Arc<Mapping>, BlobRow) {
        let dir = tempfile::tempdir().unwrap();
        let objects = FsObjects::open(dir.path()).unwrap();
        let digest = Digest::sha256(bytes);
        let row = BlobRow { digest, size: bytes.len() as u64, key: objects.put(&digest, bytes).unwrap() };
        let maps = Maps::default();
        let mapping = maps.open(&objects, &row).unwrap();
        (dir, maps, mapping, row)
    }

    #[tokio::test]
    async fn every_range_and_window_sends_those_bytes() {
        let bytes: Vec<u8> = (0..30_000_u32).map(|n| (n % 251) as u8).collect();
        let (_dir, _maps, mapping, _row) = mapping(&bytes);
        for (start, end) in [(0, 30_000), (0, 0), (0, 1), (29_999, 30_000), (4095, 8193), (7, 90_000), (40_000, 50_000)]
        {
            for window in [1000, 4096, 1 << 20] {
                let body = Body::mapped(Arc::clone(&mapping), start..end, window);
                let expected = &bytes[(start as usize).min(30_000)..(end as usize).min(30_000)];
                assert_eq!(http_body::Body::size_hint(&body).exact(), Some(expected.len() as u64));
                assert_eq!(body.collect().await.unwrap().to_bytes(), expected);
            }
        }
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_error() {
        let chunks = futures_util::stream::iter([Ok(Bytes::from("some")), Err(io::Error::other("cut"))]);
        assert!(Body::stream(chunks).collect().await.is_err());
        assert_eq!(Body::from("text").collect().await.unwrap().to_bytes(), "text");
        assert!(Body::Empty.collect().await.unwrap().to_bytes().is_empty());
    }

    #[test]
    fn maps_are_kept_until_forgotten_and_sizes_are_checked() {
        let (dir, maps, _mapping, row) = mapping(b"bytes");
        assert!(maps.get(&row.key).is_some());
        maps.forget(&row.key);
        assert!(maps.get(&row.key).is_none());
        let objects = FsObjects::open(dir.path()).unwrap();
        let longer = BlobRow { size: 6, ..row };
        assert!(matches!(maps.open(&objects, &longer), Err(storage::Error::Missing(_))));
    }
}
