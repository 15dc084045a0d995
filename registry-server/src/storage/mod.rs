//! Bytes: uploads in the making, and the objects they become.
//!
//! An object's life: [`Objects::begin`] gives an upload a place that no reader sees; its one writer
//! appends; [`Objects::commit`] makes the bytes durable under a key and gives it back. The key goes into
//! the metadata, and only then do callers see a blob. Two uploads of one digest get two keys: the
//! metadata keeps the first, and the loser removes its own. So a collector that deletes a row
//! and then its key can never hit bytes that somebody else has just committed, on one machine or on many,
//! and a backend for object storage commits without a copy (the upload's own key becomes the blob's).
//!
//! Verification is the caller's: [`crate::upload`] hashes what it appends and commits only what matches.

mod config;

pub use config::Storage;

use std::fs::File;
use std::path::PathBuf;

use oci::{Algorithm, Digest};

mod adopt;
mod directory;
mod fs;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use fs::FsObjects;

/// Where an object lies, in its backend's own words. Opaque outside of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(pub String);

/// The name of an upload: 32 hexadecimal digits, unguessable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// A new one, from the kernel's random bytes.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn random() -> Result<Self> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Reads one from a URL: `None` unless it is 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What can go wrong with bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such object or upload.
    #[error("{0} is not in the storage")]
    Missing(String),
    /// No room is left, on the disk or in the quota of its file system.
    #[error("no space left for {0}")]
    Full(PathBuf),
    /// A kernel call failed.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The kernel gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
}

/// The result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An open object.
#[derive(Debug)]
pub struct Object {
    /// Its bytes, immutable.
    pub file: File,
    /// How many there are.
    pub size: u64,
}

/// What a file system has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// The one writer of an upload. Dropping it keeps what was written.
pub trait ObjectWriter: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// [`Error::Full`] when there is no room.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Says how many more bytes are announced, so that the backend can make room in time. A hint that the announcer may have lied about.
    fn expect(&mut self, bytes: u64) {
        let _ = bytes;
    }
}

/// A place for bytes. Blocking: callers run it off the reactor. Every backend passes `conformance::run`.
pub trait Objects: Send + Sync {
    /// Makes an empty place for an upload.
    ///
    /// # Errors
    /// When the backend fails.
    fn begin(&self, upload: &UploadId) -> Result<()>;

    /// How many bytes an upload holds; `None` where there is no such upload.
    ///
    /// # Errors
    /// When the backend fails.
    fn length(&self, upload: &UploadId) -> Result<Option<u64>>;

    /// Opens an upload for appending at `offset`; what lay beyond is cut off.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is no such upload or it is shorter.
    fn writer(&self, upload: &UploadId, offset: u64) -> Result<Box<dyn ObjectWriter>>;

    /// Opens what an upload holds so far, for hashing it again after a crash or serving it while it grows.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is no such upload.
    fn partial(&self, upload: &UploadId) -> Result<Object>;

    /// Makes an upload's bytes durable, under a key of their own: [`Objects::key`].
    ///
    /// # Errors
    /// [`Error::Missing`] where there is no such upload. When the backend fails: the upload is gone then, since nobody knows
    /// which of its bytes are on the disk.
    fn commit(&self, upload: &UploadId, digest: &Digest) -> Result<ObjectKey>;

    /// The key that [`Objects::commit`] gives this upload's bytes under this digest.
    fn key(&self, upload: &UploadId, digest: &Digest) -> ObjectKey;

    /// Undoes a commit: the object under `key` is the upload's again; tells whether there was one. For a process that was killed
    /// between a commit and the row that would have named the key: the caller knows that none does.
    ///
    /// # Errors
    /// When the backend fails.
    fn recall(&self, upload: &UploadId, key: &ObjectKey) -> Result<bool>;

    /// Stores small bytes (a manifest) durably in one go. The caller has hashed them.
    ///
    /// # Errors
    /// When the backend fails.
    fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<ObjectKey>;

    /// Takes a file's bytes as an object without copying them, durably: shares its extents, or its inode where the file system
    /// shares no extents. The caller has hashed them through this very descriptor, and nobody writes to the file any more.
    /// `None` where the backend, or the file's place, does not allow it: then the bytes have to be copied.
    ///
    /// # Errors
    /// When the backend fails.
    fn adopt(&self, digest: &Digest, file: &File) -> Result<Option<ObjectKey>> {
        let _ = (digest, file);
        Ok(None)
    }

    /// Forgets an upload and its bytes. Not an error where there is none.
    ///
    /// # Errors
    /// When the backend fails.
    fn abort(&self, upload: &UploadId) -> Result<()>;

    /// Opens an object.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is none.
    fn open(&self, key: &ObjectKey) -> Result<Object>;

    /// Removes an object; tells whether there was one.
    ///
    /// # Errors
    /// When the backend fails.
    fn remove(&self, key: &ObjectKey) -> Result<bool>;

    /// Calls `each` with every object: its key, the digest it was committed under, its size. For checks; never at start.
    ///
    /// # Errors
    /// When the backend or `each` fails.
    fn walk(&self, each: &mut dyn FnMut(ObjectKey, Digest, u64) -> Result<()>) -> Result<()>;

    /// Every upload that has bytes here.
    ///
    /// # Errors
    /// When the backend fails.
    fn uploads(&self) -> Result<Vec<UploadId>>;

    /// What is left for bytes.
    ///
    /// # Errors
    /// When the backend fails.
    fn space(&self) -> Result<Space>;
}

/// The algorithm of an upload where the client named none.
pub const DEFAULT_ALGORITHM: Algorithm = Algorithm::Sha256;
