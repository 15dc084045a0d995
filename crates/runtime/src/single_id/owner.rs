//! Owners that the kernel couldn't give a file, recorded beside it.

use std::path::Path;

use sys::{Root, Stat};

/// The attribute that holds the owner of a file or directory, as `uid:gid` in decimal.
pub const XATTR: &str = "user.estiba.owner";

/// Who owns a file, in the image's own ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// The owners recorded for one layer tree: an attribute on files and directories; for links, fifos, sockets and
/// devices, which take no `user.*` attribute, a table in the file `owners` beside the tree.
#[derive(Debug, Default)]
pub struct Owners {}

impl Owners {
    /// The records of the layer tree `fs` (a snapshot's `fs` directory); empty where none were made.
    pub fn of(fs: &Path) -> sys::Result<Self> {
        let _ = fs;
        todo!()
    }

    /// The owner recorded for `path` in `tree`, whose metadata is `stat`; `None` where the kernel's own ids count.
    pub fn get(&self, tree: &Root, path: &Path, stat: &Stat) -> sys::Result<Option<Owner>> {
        let _ = (tree, path, stat);
        todo!()
    }

    /// Records an owner for `path` in `tree`. Table rows reach the disk with [`Owners::save`].
    pub fn set(&mut self, tree: &Root, path: &Path, stat: &Stat, owner: Owner) -> sys::Result<()> {
        let _ = (tree, path, stat, owner);
        todo!()
    }

    /// Writes the table, if it has rows.
    pub fn save(&self) -> sys::Result<()> {
        todo!()
    }
}

impl Owner {
    /// As the attribute holds it.
    pub fn encode(self) -> String {
        format!("{}:{}", self.uid, self.gid)
    }

    /// What the attribute holds; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (uid, gid) = std::str::from_utf8(bytes).ok()?.split_once(':')?;
        Some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    }
}
