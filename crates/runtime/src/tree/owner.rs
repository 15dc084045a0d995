//! stub
use std::io;
use std::path::Path;
use std::sync::Arc;
use sys::{Root, Stat};
/// The attribute that keeps the owner of a file or directory on a tree that one real id owns: `uid:gid`, decimal.
pub const ATTRIBUTE: &str = "user.estiba.owner";
/// An owner as the image means it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedOwner { /// Owner.
 pub uid: u32, /// Group.
 pub gid: u32 }
/// Where the owners in a tree stand.
#[derive(Debug, Clone, Default)]
pub enum IdPolicy {
    /// On the inodes, as always.
    #[default]
    Keep,
    /// One real id owns everything: in [`ATTRIBUTE`] for files and directories, in the table for all else.
    Recorded(Arc<OwnerTable>),
}
/// The owners of what cannot carry a `user.` attribute (links, devices, pipes), in an append-only file beside the tree.
#[derive(Debug)]
pub struct OwnerTable(());
#[expect(unused, clippy::todo, reason = "being laid")]
impl OwnerTable {
    /// Opens the table at `path`, or makes an empty one. Many processes may append.
    pub fn open(path: &Path) -> io::Result<OwnerTable> { todo!() }
    /// Records the owner of the inode that `stat` describes.
    pub fn record(&self, stat: &Stat, owner: RecordedOwner) -> io::Result<()> { todo!() }
    /// The last owner recorded for that inode, by this process or (after [`OwnerTable::open`]) another.
    pub fn owner(&self, stat: &Stat) -> Option<RecordedOwner> { todo!() }
}
