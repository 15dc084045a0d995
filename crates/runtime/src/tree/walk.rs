//! stub
use super::IdPolicy;
use super::view::TreeView;
use layer::Entry;
use std::fs::File;
use std::io;
use sys::Root;
/// How a tree is read.
#[derive(Debug, Clone, Default)]
pub struct WalkOptions<'a> {
    /// Where owners stand.
    pub ids: IdPolicy,
    /// What lies below: directories that differ from it in nothing, and hold no change, are left out.
    pub lower: Option<&'a TreeView>,
}
/// Why a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// Reading failed.
    #[error("{path}: {source}")]
    Io { /// Path in the tree.
 path: String, /// Why.
 source: io::Error },
}
/// Walks a layer tree in canonical order.
#[derive(Debug)]
pub struct Walk<'a>(&'a ());
#[expect(unused, clippy::todo, reason = "being laid")]
impl<'a> Walk<'a> {
    /// Begins at the root of `upper`.
    pub fn new(upper: &Root, options: WalkOptions<'a>) -> Result<Walk<'a>, WalkError> { todo!() }
    /// The next entry; a file comes opened.
    pub fn next_entry(&mut self) -> Result<Option<(Entry, Option<File>)>, WalkError> { todo!() }
}
/// All entries of a layer tree, in canonical order.
#[expect(unused, clippy::todo, reason = "being laid")]
pub fn diff(upper: &Root, options: WalkOptions<'_>) -> Result<Vec<Entry>, WalkError> { todo!() }
