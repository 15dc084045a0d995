//! Header records, which a later export turns back into the bytes of a layer. Opaque here.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};

use crate::{Error, LayerId, Result, Store, random, upload};

impl Store {
    /// Stores a layer's header record: `write` is handed the file. With `durable`, it is synced before it
    /// appears; without, it is as safe as the tree beside it.
    ///
    /// # Errors
    /// When `write` or the disk fails; nothing stays then.
    pub fn put_toc(
        &self,
        id: &LayerId,
        durable: bool,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        let target = self.layout().toc(id);
        let partial = self.layout().tocs().join(format!(".{}", random::hex32()));
        let filled = File::create(&partial).and_then(|file| {
            let mut out = BufWriter::new(file);
            write(&mut out)?;
            let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
            if durable { file.sync_all() } else { Ok(()) }
        });
        if let Err(source) = filled.and_then(|()| fs::rename(&partial, &target)) {
            drop(fs::remove_file(&partial));
            return Err(Error::Io { call: "write", path: target, source });
        }
        if durable {
            upload::sync_folder(&self.layout().tocs())?;
        }
        Ok(())
    }

    /// A layer's header record, `None` when there is none.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn toc(&self, id: &LayerId) -> Result<Option<Vec<u8>>> {
        let path = self.layout().toc(id);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { call: "read", path, source }),
        }
    }

    /// Makes stored header records durable.
    ///
    /// # Errors
    /// When one is missing or the disk fails.
    pub fn sync_tocs(&self, ids: &[LayerId]) -> Result<()> {
        for id in ids {
            let path = self.layout().toc(id);
            File::open(&path).and_then(|file| file.sync_all()).map_err(|source| Error::Io {
                call: "fsync",
                path,
                source,
            })?;
        }
        Ok(upload::sync_folder(&self.layout().tocs())?)
    }

    /// Removes a layer's header record; tells whether there was one.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_toc(&self, id: &LayerId) -> Result<bool> {
        let path = self.layout().toc(id);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(Error::Io { call: "unlink", path, source }),
        }
    }
}
