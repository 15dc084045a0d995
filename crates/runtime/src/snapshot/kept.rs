//! Trees of containers: mounted again and again, by whoever starts the container next.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::Root;

use super::overlay::{NOTHING, WORK};
use super::{FS, MERGED, RootFs};
use crate::single_id::owner::TABLE;

/// How a kept tree is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tree {
    /// Changes over layers.
    Overlay,
    /// A copy of the layers, changed in place.
    Merged,
}

/// A tree that outlives the process that made it, without a path in it: the folder of snapshots may move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTree {
    /// The snapshot's id.
    pub id: String,
    /// How it is made.
    pub tree: Tree,
    /// The snapshots below it, base first.
    pub layers: Vec<String>,
}

impl KeptTree {
    /// What [`super::ActiveSnapshot::keep`] gave, by its names. `None` for a tree that takes no changes.
    pub fn of(id: &str, root_fs: &RootFs) -> Option<Self> {
        let (tree, lowers) = match root_fs {
            RootFs::Overlay { lowers, .. } => (Tree::Overlay, lowers.as_slice()),
            RootFs::Dir(_) => (Tree::Merged, &[][..]),
            RootFs::View { .. } => return None,
        };
        let name = |path: &PathBuf| path.parent()?.file_name()?.to_str().map(str::to_owned);
        let layers = lowers.iter().filter_map(name).filter(|layer| layer != id).collect();
        Some(Self { id: id.to_owned(), tree, layers })
    }

    /// What to mount.
    pub fn root_fs(&self, snapshots: &Path) -> RootFs {
        let own = snapshots.join(&self.id);
        match self.tree {
            Tree::Merged => RootFs::Dir(own.join(MERGED)),
            Tree::Overlay => {
                let mut lowers: Vec<_> = self.layers.iter().map(|layer| snapshots.join(layer).join(FS)).collect();
                if lowers.is_empty() {
                    lowers.push(own.join(NOTHING));
                }
                RootFs::Overlay { lowers, upper: own.join(FS), work: own.join(WORK) }
            }
        }
    }

    /// The table of owners that belongs beside its tree.
    pub fn owners(&self, snapshots: &Path) -> PathBuf {
        snapshots.join(&self.id).join(TABLE)
    }

    /// Makes it ready to be mounted once more: overlayfs refuses the scratch directory of a mount that was volatile, or that was cut
    /// off. What was changed stays.
    ///
    /// # Errors
    /// When the scratch directory cannot be removed.
    pub fn renew(&self, snapshots: &Path) -> sys::Result<()> {
        if self.tree == Tree::Merged {
            return Ok(());
        }
        let root = Root::open(snapshots.join(&self.id))?;
        root.remove_all(WORK)?;
        match root.mkdir(WORK, 0o700) {
            Err(error) if error.errno() != Errno::EXIST => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_the_paths_again() {
        let snapshots = Path::new("/s/snapshots");
        let overlay = |lowers: &[&str]| RootFs::Overlay {
            lowers: lowers.iter().map(|lower| snapshots.join(lower)).collect(),
            upper: snapshots.join("c/fs"),
            work: snapshots.join("c/work"),
        };
        for root_fs in [overlay(&["a/fs", "b/fs"]), overlay(&["c/nothing"]), RootFs::Dir(snapshots.join("c/merged"))] {
            assert_eq!(KeptTree::of("c", &root_fs).unwrap().root_fs(snapshots), root_fs);
        }
        assert_eq!(KeptTree::of("c", &RootFs::View { lowers: Vec::new() }), None);
    }
}
