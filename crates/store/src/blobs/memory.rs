//! Blobs in memory, for tests and for what need not outlive a process.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};

use oci::{Algorithm, Digest};

use super::{BlobRead, BlobWriter, Blobs, Error, Result, Sink};

type Map = Arc<Mutex<BTreeMap<Digest, Arc<[u8]>>>>;

/// Blobs in memory. Clones share their contents.
#[derive(Debug, Clone, Default)]
pub struct MemoryBlobs {
    map: Map,
}

impl MemoryBlobs {
    /// A place without blobs.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<Digest, Arc<[u8]>>) -> T) -> T {
        // A poisoned map is still whole: every change is one insert or remove.
        f(&mut self.map.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Blobs for MemoryBlobs {
    fn reader(&self, digest: &Digest) -> Result<Box<dyn BlobRead>> {
        let bytes = self.with(|map| map.get(digest).cloned());
        let bytes = bytes.ok_or(Error::Missing { digest: *digest })?;
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.with(|map| map.get(digest).map(|bytes| bytes.len() as u64)))
    }

    fn writer_with(&self, algorithm: Algorithm) -> Result<BlobWriter> {
        let sink = MemorySink { home: self.clone(), bytes: Vec::new() };
        Ok(BlobWriter::new(Box::new(sink), algorithm))
    }

    fn remove(&self, digest: &Digest) -> Result<bool> {
        Ok(self.with(|map| map.remove(digest).is_some()))
    }

    fn digests(&self) -> Result<Vec<Digest>> {
        Ok(self.with(|map| map.keys().copied().collect()))
    }
}

struct MemorySink {
    home: MemoryBlobs,
    bytes: Vec<u8>,
}

impl Sink for MemorySink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn publish(self: Box<Self>, digest: &Digest) -> Result<()> {
        let bytes: Arc<[u8]> = self.bytes.into();
        self.home.with(|map| drop(map.insert(*digest, bytes)));
        Ok(())
    }
}
