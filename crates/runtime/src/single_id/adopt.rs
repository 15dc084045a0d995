//! After a container whose user isn't root: what it made is that user's.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sys::{FileKind, Root};

use super::owner::{Owner, Owners, XATTR};

/// What overlayfs leaves on a file or directory that it copied up from below.
const COPIED_UP: &str = "user.overlay.origin";

/// Where a container on a copied tree leaves who its user was: what is new there, only a commit knows.
const PENDING: &str = "user";

/// Records `owner` for all in the upper directory `upper` that has no owner yet and wasn't copied up.
///
/// Links, which tell neither, count as new.
pub(super) fn adopt(upper: &Path, owner: Owner) -> sys::Result<()> {
    let mut owners = Owners::of(upper)?;
    adopt_below(&Root::open(upper)?, PathBuf::new(), owner, &mut owners)?;
    owners.flush()
}

/// Leaves it to the commit of the snapshot in `folder` to record what is new.
pub(super) fn adopt_later(folder: &Path, owner: Owner) -> sys::Result<()> {
    let path = folder.join(PENDING);
    fs::write(&path, owner.encode()).map_err(|error| sys::Error::from_io("write", path, &error))
}

/// Does what [`adopt_later`] left to do: for `new`, all that is new in the tree `fs` of `folder`.
pub(crate) fn adopt_new<'a>(folder: &Path, fs: &Path, new: impl Iterator<Item = &'a Path>) -> sys::Result<()> {
    let Some(owner) = fs::read(folder.join(PENDING)).ok().and_then(|bytes| Owner::decode(&bytes)) else {
        return Ok(());
    };
    let (tree, mut owners) = (Root::open(fs)?, Owners::of(fs)?);
    for path in new {
        let stat = tree.stat(path)?;
        if owners.get(&tree, path, &stat)?.is_none() {
            owners.set(&tree, path, &stat, owner)?;
        }
        if stat.is_dir() {
            adopt_below(&tree, path.to_owned(), owner, &mut owners)?;
        }
    }
    owners.flush()
}

fn adopt_below(tree: &Root, top: PathBuf, owner: Owner, owners: &mut Owners) -> sys::Result<()> {
    let mut pending = vec![top];
    while let Some(dir) = pending.pop() {
        let at = tree.open_dir(&dir)?;
        for entry in at.read_dir("")? {
            let name = PathBuf::from(entry?.name);
            let stat = match at.stat(&name) {
                Err(error) if error.errno() == Errno::NOENT => continue,
                other => other?,
            };
            if stat.is_dir() {
                pending.push(dir.join(&name));
            }
            let known = match stat.kind() {
                FileKind::File | FileKind::Dir => {
                    at.get_xattr(&name, COPIED_UP)?.is_some() || at.get_xattr(&name, XATTR)?.is_some()
                }
                // A whiteout has no owner.
                FileKind::Char if stat.rdev == (0, 0) => true,
                _ => owners.get(&at, &name, &stat)?.is_some(),
            };
            if !known {
                owners.set(&at, &name, &stat, owner)?;
            }
        }
    }
    Ok(())
}
