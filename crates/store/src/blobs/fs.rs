//! Blobs as files: `blobs/<algorithm>/<hex>`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use oci::{Algorithm, Digest};

use super::{BlobRead, BlobWriter, Blobs, Error, Result};
use crate::layout::{Layout, blob_path};
use crate::room::Room;
use crate::upload::Upload;

/// The folders that an upload moves between.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) blobs: PathBuf,
    pub(crate) ingest: PathBuf,
    pub(crate) room: Arc<Room>,
}

/// Blobs in a store's directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FsBlobs {
    folders: Arc<Folders>,
}

impl FsBlobs {
    pub(crate) fn new(layout: &Layout, room: &Arc<Room>) -> Self {
        let folders = Folders { blobs: layout.blobs(), ingest: layout.ingest(), room: Arc::clone(room) };
        Self { folders: Arc::new(folders) }
    }

    /// The file of a blob, whether or not it exists.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        blob_path(&self.folders.blobs, digest)
    }

    /// Opens a blob's file for reading.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none.
    pub fn open(&self, digest: &Digest) -> Result<File> {
        let path = self.path(digest);
        File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { digest: *digest },
            _ => Error::Io { call: "open", path, source },
        })
    }

    /// A partial file, for what is no blob.
    pub(crate) fn upload(&self) -> Result<Upload> {
        Upload::start(Arc::clone(&self.folders))
    }

    /// When a blob was written or last kept; `None` when there is none.
    ///
    /// # Errors
    /// When its file cannot be looked at.
    pub fn modified(&self, digest: &Digest) -> Result<Option<SystemTime>> {
        let path = self.path(digest);
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(io_at("stat", &path))?,
        };
        metadata.modified().map(Some).map_err(io_at("stat", &path))
    }

    /// Removes the partial writes of processes that died. Gives how many there were and their bytes.
    ///
    /// # Errors
    /// When the folder cannot be read or a file not be removed.
    pub fn sweep_ingest(&self) -> Result<(u64, u64)> {
        crate::upload::sweep(&self.folders.ingest)
    }
}

impl Blobs for FsBlobs {
    fn reader(&self, digest: &Digest) -> Result<Box<dyn BlobRead>> {
        Ok(Box::new(self.open(digest)?))
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => Ok(Some(other.map_err(io_at("stat", &path))?.len())),
        }
    }

    fn writer_with(&self, algorithm: Algorithm) -> Result<BlobWriter> {
        let upload = Upload::start(Arc::clone(&self.folders))?;
        Ok(BlobWriter::new(Box::new(upload), algorithm))
    }

    fn remove(&self, digest: &Digest) -> Result<bool> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other.map(|()| true).map_err(io_at("unlink", &path)),
        }
    }

    fn digests(&self) -> Result<Vec<Digest>> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let folder = self.folders.blobs.join(algorithm.name());
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(io_at("read directory", &folder))?,
            };
            for entry in entries {
                let name = entry.map_err(io_at("read directory", &folder))?.file_name();
                // A file that is not named by a digest is nobody's blob: leave it alone.
                let text = format!("{}:{}", algorithm.name(), name.to_string_lossy());
                found.extend(text.parse::<Digest>().ok());
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn keep(&self, digest: &Digest) -> Result<()> {
        let path = self.path(digest);
        let file = self.open(digest)?;
        file.set_modified(SystemTime::now()).map_err(io_at("utimens", &path))
    }
}

/// Names the call and the path of an I/O error.
pub(crate) fn io_at(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { call, path, source }
}
