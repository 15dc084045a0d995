//! stub
use super::IdPolicy;
use layer::{Entry, Toc};
use oci::{DiffId, Digest};
use std::io::{Read, Write};
use sys::Root;
/// Why a layer cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Reading failed.
    #[error("{path}: {source}")]
    Content { /// Path in the layer.
 path: String, /// Why.
 source: std::io::Error },
}
/// What came out of the pass.
#[derive(Debug, Clone)]
pub struct Built { /// The layer's identity.
 pub diff_id: DiffId, /// Bytes of the uncompressed tar.
 pub size: u64, /// Its headers, with content digests.
 pub toc: Toc }
/// Makes a layer from entries in canonical order: each file is read once, and what it holds goes to the tar's hasher,
/// the file's own hasher, `sink` and, if there is one, the tree at the same time.
pub struct LayerBuilder<W: Write>(W);
#[expect(unused, clippy::todo, reason = "being laid")]
impl<W: Write + Send + 'static> LayerBuilder<W> {
    /// `sink` takes the tar (use [`std::io::sink`] if nobody wants it); `tree` is an empty directory to fill, if any.
    pub fn new(sink: W, tree: Option<(Root, IdPolicy)>) -> LayerBuilder<W> { todo!() }
    /// Adds an entry. `content` must have `entry.size` bytes; one whose digest the caller knows isn't hashed again.
    /// Gives the digest of a file's content.
    pub fn append(&mut self, entry: Entry, content: &mut dyn Read, known: Option<Digest>) -> Result<Option<Digest>, BuildError> { todo!() }
    /// Ends the tar, and hands the sink back.
    pub fn finish(self) -> Result<(Built, W), BuildError> { todo!() }
}
