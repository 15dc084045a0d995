//! Compressed forms of layers, kept so that nothing is compressed twice.
//!
//! They are cache: not synced, and after a power cut perhaps torn. Who reads one compares it with its digest, and
//! removes it where it is something else.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use oci::{Algorithm, Digest, Hasher};

use crate::blobs::fs::io_at;
use crate::upload::Upload;
use crate::{Result, Store};

/// A compressed form in the making. It lies among the partial writes until [`CompressedWriter::commit`]; what a dead process
/// left is swept from there.
pub struct CompressedWriter {
    upload: Upload,
    hasher: Hasher,
    compressed: PathBuf,
}

impl std::fmt::Debug for CompressedWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompressedWriter").field("written", &self.hasher.size()).finish_non_exhaustive()
    }
}

impl CompressedWriter {
    /// A second handle, by which what is written can be read meanwhile and afterwards, whatever becomes of the name.
    ///
    /// # Errors
    /// When the kernel has no descriptors left.
    pub fn reader(&self) -> Result<File> {
        Ok(self.upload.file().try_clone().map_err(io_at("dup", &self.compressed))?)
    }

    /// Puts it in place; gives its digest and size.
    ///
    /// # Errors
    /// When the disk fails; nothing stays then.
    pub fn commit(mut self) -> Result<(Digest, u64)> {
        let (size, digest) = (self.hasher.size(), self.hasher.finish());
        let target = crate::layout::blob_path(&self.compressed, &digest);
        self.upload.keep_as(&target)?;
        Ok((digest, size))
    }
}

impl Write for CompressedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.upload.room(bytes.len())?;
        let mut file = self.upload.file();
        file.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Store {
    /// Begins a compressed form.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn compressed_writer(&self) -> Result<CompressedWriter> {
        let upload = self.blobs().upload()?;
        let compressed = self.layout().compressed();
        Ok(CompressedWriter { upload, hasher: Hasher::new(Algorithm::Sha256), compressed })
    }

    /// The file of a compressed form that has this size, marked as used now. Its bytes are not compared.
    pub fn compressed(&self, digest: &Digest, size: u64) -> Option<PathBuf> {
        let path = self.layout().compressed_blob(digest);
        let file = File::open(&path).ok()?;
        if file.metadata().ok()?.len() != size {
            // Torn by a power cut: it would never be used.
            drop(fs::remove_file(&path));
            return None;
        }
        // One whose use is not noted may go a little earlier.
        drop(file.set_modified(SystemTime::now()));
        Some(path)
    }

    /// Removes a compressed form; tells whether there was one.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_compressed(&self, digest: &Digest) -> Result<bool> {
        let path = self.layout().compressed_blob(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            other => Ok(other.map(|()| true).map_err(io_at("unlink", &path))?),
        }
    }

    /// All compressed forms with their sizes and when they were last used, the one used longest ago first.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn compressed_forms(&self) -> Result<Vec<(Digest, u64, SystemTime)>> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let folder = self.layout().compressed().join(algorithm.name());
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(io_at("read directory", &folder))?,
            };
            for entry in entries {
                let entry = entry.map_err(io_at("read directory", &folder))?;
                let text = format!("{}:{}", algorithm.name(), entry.file_name().to_string_lossy());
                // What is not named by a digest is not ours, and what is gone meanwhile is gone.
                if let (Ok(digest), Ok(metadata)) = (text.parse::<Digest>(), entry.metadata()) {
                    found.push((digest, metadata.len(), metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
                }
            }
        }
        found.sort_by_key(|(digest, _, used)| (*used, *digest));
        Ok(found)
    }
}
