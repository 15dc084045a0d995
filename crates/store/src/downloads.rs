//! What came of a layer whose download has not ended: the next try, of any process, goes on behind it.
//!
//! The bytes are not verified and not synced: whoever reads them compares the whole with its digest. A file belongs to the
//! process that holds its lock, and outlives it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use oci::Digest;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::room::Room;
use crate::{Error, Result, Store};

/// A download that this process goes on with. Dropping it leaves the bytes for the next try.
#[derive(Debug)]
pub struct Download {
    file: File,
    path: PathBuf,
    length: u64,
    room: Arc<Room>,
}

impl Store {
    /// The download of a blob, begun if need be; `None` while another process is at it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn download(&self, digest: &Digest) -> Result<Option<Download>> {
        let folder = self.layout().downloads();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io_at("mkdir", &folder))?;
        let path = self.layout().download(digest);
        loop {
            let mut how = OpenOptions::new();
            how.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = how.open(&path).map_err(io_at("open", &path))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                other => other.map_err(|error| io_at("flock", &path)(error.into()))?,
            }
            let held = file.metadata().map_err(io_at("stat", &path))?;
            // A collector may have taken it between the two.
            if held.nlink() > 0 {
                return Ok(Some(Download { file, path, length: held.len(), room: Arc::clone(self.room()) }));
            }
        }
    }

    /// Every download that no process is at: its path, its size on disk and when it was last written.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn idle_downloads(&self) -> Result<Vec<(Download, SystemTime)>> {
        let folder = self.layout().downloads();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_at("read directory", &folder))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(io_at("read directory", &folder))?.path();
            let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            let metadata = file.metadata().map_err(io_at("stat", &path))?;
            // Its holder may have removed it between the two: then the name is another's.
            if metadata.nlink() == 0 {
                continue;
            }
            let changed = metadata.modified().map_err(io_at("stat", &path))?;
            let room = Arc::clone(self.room());
            found.push((Download { file, path, length: metadata.len(), room }, changed));
        }
        Ok(found)
    }
}

impl Download {
    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest that its name says; `None` for a file that is not one of ours.
    pub fn digest(&self) -> Option<Digest> {
        self.path.file_name()?.to_str()?.replacen('-', ":", 1).parse().ok()
    }

    /// Reads from `offset` on; as [`io::Read::read`].
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buffer, offset).map_err(io_at("read", &self.path))
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.room.take(bytes.len() as u64)?;
        self.file.write_all_at(bytes, self.length).map_err(io_at("write", &self.path))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what is beyond `length` bytes.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn cut(&mut self, length: u64) -> Result<()> {
        if length < self.length {
            self.file.set_len(length).map_err(io_at("truncate", &self.path))?;
            self.length = length;
        }
        Ok(())
    }

    /// Takes it away: it is no longer needed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove(self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at("unlink", &self.path)(error)),
            _ => Ok(()),
        }
    }
}

fn io_at(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { call, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_goes_on_where_it_was_and_belongs_to_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        fs::remove_dir(store.layout().downloads()).unwrap();
        let digest = Digest::sha256(b"layer");
        let mut first = store.download(&digest).unwrap().unwrap();
        first.append(b"lay").unwrap();
        assert!(store.download(&digest).unwrap().is_none(), "another process is at it");
        assert!(store.idle_downloads().unwrap().is_empty());
        drop(first);
        let mut second = store.download(&digest).unwrap().unwrap();
        assert_eq!((second.len(), second.digest()), (3, Some(digest)));
        second.append(b"ers").unwrap();
        second.cut(5).unwrap();
        let mut bytes = [0; 8];
        assert_eq!(second.read_at(&mut bytes, 1).unwrap(), 4);
        assert_eq!(&bytes[..4], b"ayer");
        drop(second);
        let idle = store.idle_downloads().unwrap();
        assert_eq!(idle.len(), 1);
        for (download, _) in idle {
            download.remove().unwrap();
        }
        assert!(store.download(&digest).unwrap().unwrap().is_empty());
    }
}
