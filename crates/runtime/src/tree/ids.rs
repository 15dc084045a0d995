//! Where the owners of a tree's files stand.

use std::path::PathBuf;

/// Where the owners of a tree's files stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum IdPolicy {
    /// On the inodes, as always.
    #[default]
    Keep,
    /// One real id owns everything, and the image's owners are recorded as [`crate::single_id::owner`] says: this is the
    /// path of the tree, beside which the table of links, pipes and devices lies.
    Recorded(PathBuf),
}
