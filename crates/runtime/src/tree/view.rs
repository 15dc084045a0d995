//! stub
use super::IdPolicy;
use layer::{Entry, Toc};
use oci::Digest;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use sys::Root;
/// One layer of a chain, in either form.
#[derive(Debug)]
pub enum LayerSource {
    /// A layer tree; with its record, content digests need not be computed.
    Tree { /// The directory.
 root: Root, /// Its record, if one is kept.
 toc: Option<Arc<Toc>>, /// Where owners stand.
 ids: IdPolicy },
    /// An uncompressed tar and its record.
    Blob { /// The record.
 toc: Arc<Toc>, /// The tar.
 tar: File },
}
/// Why a chain cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Reading failed.
    #[error("{path}: {source}")]
    Io { /// Path in the view.
 path: String, /// Why.
 source: io::Error },
}
/// A chain of layers as the one tree that mounting them would show.
#[derive(Debug)]
pub struct TreeView(());
/// Something in a view. Its entry's path is the resolved one; a hard link shows as the file that it names.
#[derive(Debug, Clone)]
pub struct Node(());
#[expect(unused, clippy::todo, reason = "being laid")]
impl Node {
    /// What it is.
    pub fn entry(&self) -> &Entry { todo!() }
    /// Path in the view, empty for the root.
    pub fn path(&self) -> &[u8] { todo!() }
}
#[expect(unused, clippy::todo, reason = "being laid")]
impl TreeView {
    /// Takes layers, base first.
    pub fn new(layers: Vec<LayerSource>) -> TreeView { todo!() }
    /// The root directory.
    pub fn root(&self) -> Node { todo!() }
    /// Resolves `path` from the root; links on the way are followed inside the view, the last one if `follow`.
    pub fn lookup(&self, path: &[u8], follow: bool) -> Result<Option<Node>, ViewError> { todo!() }
    /// What lies in a directory, sorted by name.
    pub fn read_dir(&self, dir: &Node) -> Result<Vec<Node>, ViewError> { todo!() }
    /// The content of a file.
    pub fn open(&self, file: &Node) -> Result<Box<dyn Read + Send>, ViewError> { todo!() }
    /// SHA-256 of a file's content: from a record where there is one, else computed.
    pub fn content(&self, file: &Node) -> Result<Digest, ViewError> { todo!() }
    /// Digests what `selected` (in that order) and all below hold: everything but times.
    pub fn digest(&self, selected: &[Node]) -> Result<Digest, ViewError> { todo!() }
}
