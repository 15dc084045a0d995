//! stub
use crate::Entry;
use std::io::{Read, Write};
/// Why an entry cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Writing failed.
    #[error("write tar: {0}")]
    Io(#[from] std::io::Error),
}
/// Writes tar canonically.
#[derive(Debug)]
pub struct TarWriter<W: Write>(W);
#[expect(unused, clippy::todo, reason = "being laid")]
impl<W: Write> TarWriter<W> {
    /// A writer of an uncompressed tar.
    pub fn new(inner: W) -> TarWriter<W> { todo!() }
    /// Writes an entry with its content, which must have exactly `entry.size` bytes; says where the content lies.
    pub fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<u64, WriteError> { todo!() }
    /// Writes the header of an entry; exactly `entry.size` bytes of [`TarWriter::data`] must follow.
    pub fn begin(&mut self, entry: &Entry) -> Result<u64, WriteError> { todo!() }
    /// Writes content of the entry begun.
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), WriteError> { todo!() }
    /// Bytes written so far.
    pub fn position(&self) -> u64 { todo!() }
    /// Writes the end of the archive.
    pub fn finish(self) -> Result<W, WriteError> { todo!() }
}
