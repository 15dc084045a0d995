//! Where caches are kept outside of the store: blobs by digest, manifests by name.
//!
//! A backend is one *cache* at one place: a tag of a repository, a folder, a prefix of a bucket. Beside its own manifest it may
//! hold *parts*, manifests of their own (`Some("mounts")`), so that one can be replaced without the other.
//! The order of every writer: blobs first, the manifest that names them last; who dies in between leaves nothing that is seen.
//!
//! Calls block, and must not be made on the reactor. Nothing that a backend gives is believed: blobs are compared with their
//! digest and size before [`Backend::get_blob`] returns.

mod local;
mod registry;
mod s3;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::{Digest, Hasher};

use tokio::runtime::Handle;

use crate::request::{CachePlace, Caching};

use local::Local;
use registry::Registry;

/// A manifest larger than this is no cache's: the limit that registries have.
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;

/// A blob by digest and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    /// Of its bytes.
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
}

/// Where the bytes of a blob are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'c> {
    /// In memory.
    Bytes(&'c [u8]),
    /// In a file, which is exactly the blob.
    File(&'c Path),
}

/// Why a cache could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// It does not have a blob.
    #[error("{place} does not have {what}")]
    Absent {
        /// The cache.
        place: String,
        /// What was asked for.
        what: String,
    },
    /// It gave other bytes than were asked for.
    #[error("{place}: {what} is something else: it hashes to {found}")]
    Digest {
        /// The cache.
        place: String,
        /// What was asked for.
        what: String,
        /// What came.
        found: Digest,
    },
    /// It gave more or fewer bytes than it said.
    #[error("{place}: {what} has {found} bytes instead of {expected}")]
    Size {
        /// The cache.
        place: String,
        /// What was asked for.
        what: String,
        /// What was said.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// It cannot be what it says.
    #[error("{place}: {problem}")]
    Malformed {
        /// The cache.
        place: String,
        /// Why not.
        problem: String,
    },
    /// A registry.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// A bucket.
    #[error(transparent)]
    S3(#[from] remote::s3::S3Error),
    /// A file.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What takes the bytes refused them.
    #[error("write what {place} gave: {source}")]
    Sink {
        /// The cache.
        place: String,
        /// Why.
        source: io::Error,
    },
}

impl BackendError {
    fn io(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { call, path, source }
    }

    /// Whether the thing is not there, and asking again is of no use.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::Absent { .. } => true,
            Self::Remote(error) => error.is_not_found(),
            _ => false,
        }
    }

    /// Whether it does not have what it promised, or has something else under its name.
    pub(crate) fn is_lie(&self) -> bool {
        match self {
            Self::Digest { .. } | Self::Size { .. } => true,
            Self::Remote(remote::Error::Digest { .. } | remote::Error::Length { .. }) => true,
            _ => self.is_absent(),
        }
    }
}

/// One cache at one place.
pub(crate) trait Backend: Send + Sync {
    /// The place, for people and for records: `registry HOST/NAME:TAG`, `local /folder`, `s3 BUCKET/PREFIX`.
    fn place(&self) -> String;

    /// The cache's manifest, or that of a part of it; `None` where there is none. At most [`MAX_MANIFEST`] bytes.
    ///
    /// # Errors
    /// See [`BackendError`].
    fn get_manifest(&self, part: Option<&str>) -> Result<Option<Vec<u8>>, BackendError>;

    /// A manifest that the cache's manifest lists, where that is an index.
    ///
    /// # Errors
    /// As [`Backend::get_blob`]; it is compared likewise.
    fn get_child(&self, child: &Blob) -> Result<Vec<u8>, BackendError> {
        if child.size > MAX_MANIFEST {
            let problem = format!("manifest {} is larger than {MAX_MANIFEST} bytes", child.digest);
            return Err(BackendError::Malformed { place: self.place(), problem });
        }
        let mut bytes = Vec::new();
        self.get_blob(child, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes the cache's manifest or that of a part, in place of an earlier one, and gives its digest. All blobs that it
    /// names are there already. `media_type` is the manifest's own.
    ///
    /// # Errors
    /// See [`BackendError`].
    fn put_manifest(&self, part: Option<&str>, media_type: &str, bytes: &[u8]) -> Result<Digest, BackendError>;

    /// Whether a blob is there.
    ///
    /// # Errors
    /// See [`BackendError`].
    fn has_blob(&self, blob: &Blob) -> Result<bool, BackendError>;

    /// Copies a blob. What `into` got counts only once this has returned: the digest is compared at the end.
    ///
    /// # Errors
    /// [`BackendError::is_absent`] where it is not there; also when its bytes are not those of the digest.
    fn get_blob(&self, blob: &Blob, into: &mut dyn Write) -> Result<(), BackendError>;

    /// Brings a blob there, unless it is there; gives how many bytes moved.
    ///
    /// # Errors
    /// See [`BackendError`].
    fn put_blob(&self, blob: &Blob, content: Content<'_>) -> Result<u64, BackendError>;
}

/// Opens a cache; nothing is asked or written yet. Calls to a registry run on the reactor of `handle`.
pub(crate) fn open(
    place: &CachePlace,
    caching: &Caching,
    client: Option<&remote::Client>,
    handle: &Handle,
) -> Result<Arc<dyn Backend>, BackendError> {
    let CachePlace::Registry { reference } = place else { return without_registry(place, caching) };
    let malformed = |problem: String| BackendError::Malformed { place: format!("registry {reference}"), problem };
    let parsed: oci::Reference = reference.parse().map_err(|error| malformed(format!("{error}")))?;
    let client = client.ok_or_else(|| malformed("there is no registry client".to_owned()))?;
    Ok(Arc::new(Registry::new(client, &parsed, handle.clone())?))
}

/// Opens a cache that is no registry's.
pub(crate) fn without_registry(place: &CachePlace, caching: &Caching) -> Result<Arc<dyn Backend>, BackendError> {
    match place {
        CachePlace::Local { dir, tag, digest } => Ok(Arc::new(Local::new(dir, tag.as_deref(), *digest))),
        CachePlace::Inline => {
            let problem = "it is read as `type=registry` of the image".to_owned();
            Err(BackendError::Malformed { place: "inline".to_owned(), problem })
        }
        CachePlace::Registry { reference } => {
            let problem = "it takes a registry client".to_owned();
            Err(BackendError::Malformed { place: format!("registry {reference}"), problem })
        }
        CachePlace::S3(s3) => {
            // The same bucket has the same keys, whichever of the options named it.
            let places = caching.from.iter().map(|from| &from.place).chain(caching.to.iter().map(|to| &to.place));
            let at = places.into_iter().position(|place| matches!(place, CachePlace::S3(known) if known == s3));
            let keys = at.and_then(|at| caching.keys.get(at)).and_then(Option::as_ref);
            Ok(Arc::new(s3::S3::new(s3, keys)?))
        }
    }
}

/// Compares what passes with a digest and a size.
struct Compared<'c> {
    place: &'c str,
    blob: &'c Blob,
    hasher: Hasher,
    into: &'c mut dyn Write,
}

impl<'c> Compared<'c> {
    fn new(place: &'c str, blob: &'c Blob, into: &'c mut dyn Write) -> Self {
        Self { place, blob, hasher: Hasher::new(blob.digest.algorithm()), into }
    }

    fn size(&self, found: u64) -> BackendError {
        let what = format!("blob {}", self.blob.digest);
        BackendError::Size { place: self.place.to_owned(), what, expected: self.blob.size, found }
    }

    /// The next bytes; too many are refused before they are written.
    fn push(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.hasher.update(bytes);
        if self.hasher.size() > self.blob.size {
            return Err(self.size(self.hasher.size()));
        }
        self.into.write_all(bytes).map_err(|source| BackendError::Sink { place: self.place.to_owned(), source })
    }

    fn finish(self) -> Result<(), BackendError> {
        if self.hasher.size() != self.blob.size {
            return Err(self.size(self.hasher.size()));
        }
        let found = self.hasher.finish();
        if found == self.blob.digest {
            return Ok(());
        }
        let what = format!("blob {}", self.blob.digest);
        Err(BackendError::Digest { place: self.place.to_owned(), what, found })
    }
}

#[cfg(test)]
mod conformance;
