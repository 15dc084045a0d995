//! Tar splits: with one, the tree of a pulled layer gives back the exact bytes of its tar. Opaque here.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::{Error, LayerId, Result, Store, upload};

impl Store {
    /// A file for the split of a layer that is being unpacked. It may be written in place: nothing reads it before the
    /// layer has a row.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn create_split(&self, id: &LayerId) -> Result<File> {
        let folder = self.layout().splits();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io_at("mkdir", &folder))?;
        let path = self.layout().split(id);
        let mut how = OpenOptions::new();
        how.write(true).create(true).truncate(true).mode(0o600).open(&path).map_err(io_at("create", &path))
    }

    /// A layer's split, opened for reading; `None` when there is none.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn split(&self, id: &LayerId) -> Result<Option<File>> {
        let path = self.layout().split(id);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(io_at("open", &path)),
        }
    }

    /// Makes splits durable; those that are not there are passed over.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync_splits(&self, ids: &[LayerId]) -> Result<()> {
        let mut any = false;
        for id in ids {
            if let Some(file) = self.split(id)? {
                file.sync_all().map_err(io_at("fsync", &self.layout().split(id)))?;
                any = true;
            }
        }
        if any { Ok(upload::sync_folder(&self.layout().splits())?) } else { Ok(()) }
    }

    /// Removes a layer's split; tells whether there was one.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_split(&self, id: &LayerId) -> Result<bool> {
        let path = self.layout().split(id);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(Error::Io { call: "unlink", path, source }),
        }
    }
}

fn io_at(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { call, path, source }
}
