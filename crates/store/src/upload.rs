//! The road of bytes into the store: partial → verified → renamed.
//!
//! A partial file lies in `ingest/` and is locked by its writer for as long as that lives, so that
//! anyone may sweep what a dead process left behind, and nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::Digest;
use rustix::fs::{FlockOperation, flock};

use crate::blobs::fs::{Folders, io_at};
use crate::blobs::{Result, Sink};
use crate::layout::blob_path;
use crate::random;

/// A partial file. Removed when dropped.
pub(crate) struct Upload {
    folders: Arc<Folders>,
    file: File,
    path: PathBuf,
    published: bool,
    written: u64,
    /// How much of it is on its way to the disk.
    started: u64,
}

/// So much is handed to the disk at a time while more is written: enough for long writes, and little for the fsync to wait for.
const WRITEBACK: u64 = 8 << 20;

impl Upload {
    pub(crate) fn start(folders: Arc<Folders>) -> Result<Self> {
        loop {
            let path = folders.ingest.join(random::hex32());
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .map_err(io_at("create", &path))?;
            flock(&file, FlockOperation::LockExclusive).map_err(|error| io_at("flock", &path)(error.into()))?;
            // A sweep may have come between creating and locking: then the name is gone.
            let links = file.metadata().map_err(io_at("stat", &path))?.nlink();
            if links > 0 {
                return Ok(Self { folders, file, path, published: false, written: 0, started: 0 });
            }
        }
    }

    /// The file, to be written to or read from.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Asks for room for what is about to be written to [`Upload::file`].
    pub(crate) fn room(&self, bytes: usize) -> Result<()> {
        Ok(self.folders.room.take(bytes as u64)?)
    }

    /// Lets the file appear as cache: not synced.
    pub(crate) fn keep_as(&mut self, target: &Path) -> Result<()> {
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(io_at("mkdir", folder))?;
        }
        fs::rename(&self.path, target).map_err(io_at("rename to", target))?;
        self.published = true;
        Ok(())
    }

    /// Lets the synced file appear under its digest.
    fn rename(&mut self, digest: &Digest) -> Result<()> {
        let target = blob_path(&self.folders.blobs, digest);
        let folder = target.parent().unwrap_or(&self.folders.blobs).to_path_buf();
        self.file
            .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o400))
            .map_err(io_at("chmod", &self.path))?;
        self.file.sync_all().map_err(io_at("fsync", &self.path))?;
        // An equal blob may be there: replacing it is harmless, as readers keep the old one open.
        fs::rename(&self.path, &target).map_err(io_at("rename to", &target))?;
        self.published = true;
        sync_folder(&folder)
    }
}

impl Sink for Upload {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.room(bytes.len())?;
        self.file.write_all(bytes).map_err(io_at("write", &self.path))?;
        self.written += bytes.len() as u64;
        if self.written - self.started >= WRITEBACK {
            sys::writeback::start(&self.file, self.started, self.written - self.started);
            self.started = self.written;
        }
        Ok(())
    }

    fn publish(mut self: Box<Self>, digest: &Digest) -> Result<()> {
        self.rename(digest)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.published {
            // Nobody is left to tell; a sweep removes what stays.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|handle| handle.sync_all()).map_err(io_at("fsync", folder))
}

/// Removes the partial files whose writers are gone.
pub(crate) fn sweep(ingest: &Path) -> Result<(u64, u64)> {
    let mut swept = (0, 0);
    for entry in fs::read_dir(ingest).map_err(io_at("read directory", ingest))? {
        let path = entry.map_err(io_at("read directory", ingest))?.path();
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(io_at("open", &path))?,
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let size = file.metadata().map_err(io_at("stat", &path))?.len();
        match fs::remove_file(&path) {
            // It was renamed into the blobs between the open and the lock.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => {
                other.map_err(io_at("unlink", &path))?;
                swept = (swept.0 + 1, swept.1 + size);
            }
        }
    }
    Ok(swept)
}
