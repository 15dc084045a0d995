//! stub
use crate::{Entry, Extent};
use std::io::Read;
/// What a reader refuses to go beyond.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of content of all files together, holes included.
    pub total: u64,
}
impl Default for Limits {
    fn default() -> Limits { Limits { total: u64::MAX } }
}
/// What a name that begins with `.wh.` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhiteoutNames {
    /// A deletion, as in every layer.
    #[default]
    Deletions,
    /// A name as any other: an archive that is no layer.
    Plain,
}
/// Why a tar cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Reading failed.
    #[error("read tar: {0}")]
    Io(#[from] std::io::Error),
}
/// Reads any tar.
pub struct TarReader<R: Read>(R);
/// The content of the current entry.
pub struct TarEntryReader<'a, R: Read>(&'a mut TarReader<R>);
/// A piece of content.
#[derive(Debug)]
pub enum Chunk<'a> {
    /// So many zeros that the archive doesn't hold.
    Hole(u64),
    /// Bytes.
    Data(&'a [u8]),
}
#[expect(unused, clippy::todo, reason = "being laid")]
impl<R: Read> TarReader<R> {
    /// A reader of an uncompressed tar.
    pub fn new(inner: R) -> TarReader<R> { todo!() }
    /// Sets limits.
    pub fn limits(self, limits: Limits) -> TarReader<R> { todo!() }
    /// Sets the meaning of whiteout names.
    pub fn whiteout_names(self, names: WhiteoutNames) -> TarReader<R> { todo!() }
    /// The next entry and its content; what was not read of the one before is skipped.
    pub fn next_entry(&mut self) -> Result<Option<(Entry, TarEntryReader<'_, R>)>, ReadError> { todo!() }
    /// Reads to the end of the stream, so that a verifying reader below has seen all.
    pub fn finish(self) -> Result<R, ReadError> { todo!() }
}
#[expect(unused, clippy::todo, reason = "being laid")]
impl<R: Read> TarEntryReader<'_, R> {
    /// Where the content lies in the uncompressed tar.
    pub fn offset(&self) -> u64 { todo!() }
    /// The runs that the tar holds, for a sparse member; empty for others.
    pub fn extents(&self) -> &[Extent] { todo!() }
    /// The next piece, without copying it; `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, ReadError> { todo!() }
}
#[expect(unused, clippy::todo, reason = "being laid")]
impl<R: Read> Read for TarEntryReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> { todo!() }
}
