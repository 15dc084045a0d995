//! How a layer tree says that something is gone, as overlayfs with `userxattr` does.

use std::path::Path;

use rustix::io::Errno;
use sys::{FileKind, Root, Stat};

/// On a directory: `y` hides what lies below it; `x` says that files in it may be whiteouts by attribute.
pub(super) const OPAQUE: &str = "user.overlay.opaque";
/// On an empty file in a directory marked `x`: it is a whiteout.
const WHITEOUT: &str = "user.overlay.whiteout";
/// What begins the name of every attribute that is overlayfs' own.
pub(super) const PREFIX: &str = "user.overlay.";
/// A character device.
const CHARACTER: u32 = 0o020_000;

/// Whether `name` in the layer tree `tree` says that what is below it is gone.
pub(super) fn is_whiteout(tree: &Root, name: &Path, stat: &Stat) -> sys::Result<bool> {
    match stat.kind() {
        FileKind::Char => Ok(stat.rdev == (0, 0)),
        FileKind::File if stat.size == 0 => Ok(tree.get_xattr(name, WHITEOUT)?.is_some()),
        _ => Ok(false),
    }
}

/// Whether a directory hides what lies below it.
pub(super) fn is_opaque(tree: &Root, dir: &Path) -> sys::Result<bool> {
    Ok(tree.get_xattr(dir, OPAQUE)?.as_deref() == Some(b"y"))
}

/// Marks a directory as hiding what lies below it.
pub(super) fn make_opaque(tree: &Root, dir: &Path) -> sys::Result<()> {
    tree.set_xattr(dir, OPAQUE, b"y")
}

/// Says that `path` is gone; by attribute where device nodes are refused.
pub(super) fn make_whiteout(tree: &Root, path: &Path) -> sys::Result<()> {
    match tree.mknod(path, CHARACTER, (0, 0)) {
        Err(error) if matches!(error.errno(), Errno::PERM | Errno::NOSYS) => {}
        other => return other,
    }
    tree.create(path, 0o600, true)?;
    tree.set_xattr(path, WHITEOUT, b"")?;
    let parent = path.parent().unwrap_or(Path::new(""));
    if tree.get_xattr(parent, OPAQUE)?.is_none() {
        tree.set_xattr(parent, OPAQUE, b"x")?;
    }
    Ok(())
}
