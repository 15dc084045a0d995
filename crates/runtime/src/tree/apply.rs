//! stub
use super::IdPolicy;
use std::io::Read;
use sys::Root;
/// What deletions become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whiteouts { /// overlayfs' own marks: the tree is one layer.
 #[default] Overlay, /// The path goes away: the tree is a whole file system, onto which layers are applied one after another.
 Remove }
/// What happens where the directory part of a path leads through a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkParents { /// It is followed, never out of the tree.
 #[default] Follow, /// It is an error.
 Refuse }
/// How a tar is applied.
#[derive(Debug, Default)]
pub struct ApplyOptions {
    /// Where owners go.
    pub ids: IdPolicy,
    /// What deletions become.
    pub whiteouts: Whiteouts,
    /// Links in the way.
    pub links: LinkParents,
    /// What the archive may hold.
    pub limits: layer::Limits,
    /// The trees below, nearest first: a directory that the tar implies but doesn't hold takes its attributes from them.
    pub lowers: Vec<Root>,
}
/// What was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied { /// Entries.
 pub entries: u64, /// Bytes of file content.
 pub bytes: u64, /// Device nodes that the kernel refused and that were recorded in attributes instead.
 pub recorded_nodes: u64, /// Attributes that the file system or the kernel refused.
 pub refused_xattrs: u64 }
/// Why a tar cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] layer::ReadError),
}
/// Applies an uncompressed tar to the directory `into`.
#[expect(unused, clippy::todo, reason = "being laid")]
pub fn apply(tar: impl Read, into: &Root, options: &ApplyOptions) -> Result<Applied, ApplyError> { todo!() }
