//! stub
use crate::{Entry, Extent, TocError};
use oci::Digest;
use std::io::{Read, Write};
/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocEntry {
    /// The entry.
    pub entry: Entry,
    /// Where its content begins in the uncompressed tar.
    pub offset: u64,
    /// Of a sparse member, the runs that the tar holds one after another; else empty.
    pub extents: Vec<Extent>,
    /// SHA-256 of a file's bytes.
    pub content: Option<Digest>,
}
/// The headers of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Toc(Vec<TocEntry>);
#[expect(unused, clippy::todo, reason = "being laid")]
impl Toc {
    /// Takes entries in the order of the tar.
    pub fn new(entries: Vec<TocEntry>) -> Toc { todo!() }
    /// In the order of the tar.
    pub fn entries(&self) -> &[TocEntry] { todo!() }
    /// What stands at `path` (of several, the last).
    pub fn lookup(&self, path: &[u8]) -> Option<&TocEntry> { todo!() }
    /// Whether the layer marks the directory `path` opaque.
    pub fn is_opaque(&self, path: &[u8]) -> bool { todo!() }
    /// What lies directly in the directory `path`, sorted by name; opaque marks left out.
    pub fn children<'a>(&'a self, path: &[u8]) -> impl Iterator<Item = &'a TocEntry> + use<'a> { std::iter::empty() }
    /// Reads what [`Toc::encode`] wrote.
    pub fn decode(reader: impl Read) -> Result<Toc, TocError> { todo!() }
    /// Writes the compact binary form.
    pub fn encode(&self, writer: impl Write) -> Result<(), TocError> { todo!() }
    /// Reads a whole uncompressed tar and records it, file digests included.
    pub fn scan(tar: impl Read) -> Result<Toc, crate::ReadError> { todo!() }
}
