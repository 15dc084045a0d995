//! stub
use std::io::{Read, Write};
/// Compressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// Bare tar.
    None,
    /// gzip, RFC 1952, of any number of members.
    Gzip,
    /// Zstandard, RFC 8878, of any number of frames.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}
/// Why a compression cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CompressionError {
    /// No encoder.
    #[error("writing {0} is not supported: use gzip or zstd")]
    NoEncoder(&'static str),
    /// The encoder could not be set up, or its output could not be written.
    #[error("compress: {0}")]
    Io(#[from] std::io::Error),
}
/// A writer that compresses; [`Encoder::finish`] writes the end.
pub struct Encoder<W: Write>(W);
#[expect(unused, clippy::todo, reason = "being laid")]
impl Compression {
    /// By magic number of the first bytes (six suffice).
    pub fn detect(start: &[u8]) -> Compression { todo!() }
    /// Short lower-case name.
    pub fn name(self) -> &'static str { todo!() }
    /// A reader of the decompressed bytes.
    pub fn decoder<'a>(self, inner: Box<dyn Read + Send + 'a>) -> Result<Box<dyn Read + Send + 'a>, CompressionError> { todo!() }
    /// Looks at the first bytes and decompresses accordingly.
    pub fn detecting<'a>(inner: Box<dyn Read + Send + 'a>) -> Result<(Compression, Box<dyn Read + Send + 'a>), CompressionError> { todo!() }
    /// A compressing writer; `level` as the format counts, its usual one if `None`.
    pub fn encoder<W: Write>(self, inner: W, level: Option<i32>) -> Result<Encoder<W>, CompressionError> { todo!() }
}
#[expect(unused, clippy::todo, reason = "being laid")]
impl<W: Write> Encoder<W> {
    /// Writes the end and hands back the inner writer.
    pub fn finish(self) -> std::io::Result<W> { todo!() }
}
#[expect(unused, clippy::todo, reason = "being laid")]
impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> { todo!() }
    fn flush(&mut self) -> std::io::Result<()> { todo!() }
}
