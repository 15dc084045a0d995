//! After a container whose user isn't root: what it made is that user's.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sys::{FileKind, Root};

use super::owner::{Owner, Owners, XATTR};

/// What overlayfs leaves on a file or directory that it copied up from below.
const COPIED_UP: &str = "user.overlay.origin";

/// Records `owner` for all in the upper directory `upper` that has no owner yet and wasn't copied up.
///
/// Links, which tell neither, count as new.
pub(super) fn adopt(upper: &Path, owner: Owner) -> sys::Result<()> {
    let tree = Root::open(upper)?;
    let mut owners = Owners::of(upper)?;
    let mut pending = vec![PathBuf::new()];
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
    owners.flush()
}
