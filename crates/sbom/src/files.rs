//! The tree that is looked at.

use std::io::{self, Read, Seek};

/// What can be read from any place on.
pub trait Content: Read + Seek {}

impl<T: Read + Seek> Content for T {}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File {
        /// Bytes.
        size: u64,
        /// Whether anybody may execute it.
        executable: bool,
    },
    /// A folder.
    Folder,
    /// Links, devices and the rest, which are passed over.
    Other,
}

/// One path of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'e> {
    /// From the root, without a slash in front; links on the way to it are none.
    pub path: &'e [u8],
    /// What it is.
    pub kind: Kind,
}

/// A file tree, by paths from its root that begin with no slash.
pub trait Files {
    /// Calls `visit` with everything in the tree, folders before what they hold, in the order of names; what lies in a folder
    /// is left out where `visit` says `false`. Links are not followed.
    ///
    /// # Errors
    /// When the tree cannot be read, or `visit` fails.
    fn walk(&self, visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<bool>) -> io::Result<()>;

    /// Opens the file that a path leads to, links followed within the tree; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn open(&self, path: &[u8]) -> io::Result<Option<Box<dyn Content + '_>>>;
}
