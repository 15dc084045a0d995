//! Files of ours, mapped for reading.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use crate::{Error, Result};

/// A whole file as bytes.
///
/// Only for files that nobody shortens while they are mapped: the immutable blobs and tables of our own store, whose
/// directory is 0700. Reading past the end of a file that shrank would be a SIGBUS.
#[derive(Debug)]
pub struct Mapped {
    map: Option<memmap2::Mmap>,
}

impl Mapped {
    /// Maps `file`, which may be closed afterwards. An empty file maps to no bytes.
    pub fn new(file: &File) -> Result<Self> {
        let length = file.metadata().map_err(|error| Error::from_io("fstat", "", &error))?.len();
        if length == 0 {
            return Ok(Self { map: None });
        }
        // SAFETY: the file is ours and immutable, as the type's documentation asks of the caller.
        let map = unsafe { memmap2::Mmap::map(file) };
        Ok(Self { map: Some(map.map_err(|error| Error::from_io("mmap", "", &error))?) })
    }

    /// Opens and maps the file at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::from_io("open", path, &error))?;
        Self::new(&file).map_err(|error| error.at(path))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_what_was_written_and_nothing_of_an_empty_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"").unwrap();
        assert!(Mapped::open(&path).unwrap().is_empty());
        std::fs::write(&path, b"bytes").unwrap();
        assert_eq!(&*Mapped::open(&path).unwrap(), b"bytes");
        assert!(Mapped::open(&dir.path().join("none")).unwrap_err().is_not_found());
    }
}
