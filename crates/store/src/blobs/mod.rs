//! Bytes by digest.
//!
//! A blob's life: [`Blobs::writer`] opens a place that no reader can see; the bytes are hashed as they
//! are written; [`BlobWriter::commit`] compares them with what was promised, makes them durable and
//! only then lets them appear under their digest, whole. Dropping the writer instead leaves
//! nothing. A blob never changes afterwards. Unverified bytes have no other way out.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub(crate) mod fs;
mod memory;

use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

use oci::{Algorithm, Digest, Hasher};

pub use fs::FsBlobs;
pub use memory::MemoryBlobs;

/// What can go wrong with a blob.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No blob has this digest.
    #[error("blob {digest} is not in the store")]
    Missing {
        /// The digest that was asked for.
        digest: Digest,
    },
    /// The bytes are not the promised ones.
    #[error("content has digest {actual}, expected {expected}")]
    Digest {
        /// What was promised.
        expected: Digest,
        /// What the bytes hash to.
        actual: Digest,
    },
    /// There are more or fewer bytes than promised.
    #[error("content has {actual} bytes, expected {expected}")]
    Size {
        /// What was promised.
        expected: u64,
        /// How many there were.
        actual: u64,
    },
    /// A blob is too large to be read into memory.
    #[error("blob {digest} has {size} bytes, more than the {limit} accepted here")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The caller's limit.
        limit: u64,
    },
    /// The store has reached its limit.
    #[error(transparent)]
    Room(#[from] crate::RoomError),
    /// A kernel call failed.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// The result of a blob operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A readable blob.
pub trait BlobRead: Read + Seek + Send {}

impl<T: Read + Seek + Send> BlobRead for T {}

/// What a blob must be. `None` leaves a property open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// The digest that the bytes must have.
    pub digest: Option<Digest>,
    /// The number of bytes.
    pub size: Option<u64>,
}

impl Expected {
    /// Whatever was written is right.
    pub fn any() -> Self {
        Self::default()
    }

    /// Exactly these bytes.
    pub fn exactly(digest: Digest, size: u64) -> Self {
        Self { digest: Some(digest), size: Some(size) }
    }
}

impl From<Digest> for Expected {
    fn from(digest: Digest) -> Self {
        Self { digest: Some(digest), size: None }
    }
}

/// A place for blobs. Every backend passes `conformance::run`.
pub trait Blobs: Send + Sync {
    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none.
    fn reader(&self, digest: &Digest) -> Result<Box<dyn BlobRead>>;

    /// The size of a blob in bytes, `None` when there is none.
    ///
    /// # Errors
    /// When the backend fails.
    fn size(&self, digest: &Digest) -> Result<Option<u64>>;

    /// Starts a blob whose digest will be of `algorithm`.
    ///
    /// # Errors
    /// When the backend fails.
    fn writer_with(&self, algorithm: Algorithm) -> Result<BlobWriter>;

    /// Removes a blob; tells whether there was one.
    ///
    /// # Errors
    /// When the backend fails.
    fn remove(&self, digest: &Digest) -> Result<bool>;

    /// All digests, in order.
    ///
    /// # Errors
    /// When the backend fails.
    fn digests(&self) -> Result<Vec<Digest>>;

    /// Starts a blob under a sha256 digest.
    ///
    /// # Errors
    /// When the backend fails.
    fn writer(&self) -> Result<BlobWriter> {
        self.writer_with(Algorithm::Sha256)
    }

    /// Stores bytes under their sha256 digest.
    ///
    /// # Errors
    /// When the backend fails.
    fn put_bytes(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::sha256(bytes);
        if self.size(&digest)? == Some(bytes.len() as u64) {
            self.keep(&digest)?;
            return Ok(digest);
        }
        let mut writer = self.writer()?;
        writer.push(bytes)?;
        Ok(writer.commit(digest)?.0)
    }

    /// The whole of a small blob, checked against its digest.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past `limit` bytes; [`Error::Digest`] when the stored bytes are damaged.
    fn read_bytes(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let size = self.size(digest)?.ok_or(Error::Missing { digest: *digest })?;
        if size > limit {
            return Err(Error::TooLarge { digest: *digest, size, limit });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        self.reader(digest)?.take(limit + 1).read_to_end(&mut bytes).map_err(|source| Error::Io {
            call: "read",
            path: digest.to_string().into(),
            source,
        })?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        match hasher.finish() {
            actual if actual == *digest => Ok(bytes),
            actual => Err(Error::Digest { expected: *digest, actual }),
        }
    }

    /// Marks an existing blob as used now, so that a collector that spares young blobs spares it.
    ///
    /// # Errors
    /// When the backend fails.
    fn keep(&self, _digest: &Digest) -> Result<()> {
        Ok(())
    }
}

/// Where a [`BlobWriter`]'s bytes go. Dropping it unpublished must leave nothing.
pub(crate) trait Sink: Send {
    /// Takes the next bytes, all of them.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Makes the bytes durable and visible under `digest`.
    fn publish(self: Box<Self>, digest: &Digest) -> Result<()>;
}

/// A blob in the making: hashes while it writes.
pub struct BlobWriter {
    sink: Box<dyn Sink>,
    hasher: Hasher,
}

impl BlobWriter {
    pub(crate) fn new(sink: Box<dyn Sink>, algorithm: Algorithm) -> Self {
        Self { sink, hasher: Hasher::new(algorithm) }
    }

    /// Appends bytes. As [`Write::write_all`], with this module's error.
    ///
    /// # Errors
    /// When the backend fails, a full disk included.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.sink.write(bytes)?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.hasher.size()
    }

    /// The digest of what was written so far.
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Checks the bytes, makes them durable and visible. Gives their digest and size.
    ///
    /// # Errors
    /// [`Error::Digest`] or [`Error::Size`] when they are not the expected ones; nothing stays then.
    pub fn commit(self, expected: impl Into<Expected>) -> Result<(Digest, u64)> {
        let expected = expected.into();
        let size = self.hasher.size();
        let actual = self.hasher.finish();
        if let Some(wanted) = expected.size.filter(|wanted| *wanted != size) {
            return Err(Error::Size { expected: wanted, actual: size });
        }
        if let Some(wanted) = expected.digest.filter(|wanted| *wanted != actual) {
            return Err(Error::Digest { expected: wanted, actual });
        }
        self.sink.publish(&actual)?;
        Ok((actual, size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(io::Error::from)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for BlobWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobWriter").field("written", &self.written()).finish_non_exhaustive()
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Missing { .. } => io::ErrorKind::NotFound,
            Error::Digest { .. } | Error::Size { .. } | Error::TooLarge { .. } => io::ErrorKind::InvalidData,
            Error::Room(crate::RoomError::Full { .. }) => io::ErrorKind::StorageFull,
            Error::Room(_) => io::ErrorKind::Other,
            Error::Io { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}
