//! The file tree of an image as a folder of the host.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use layer::{Entry, Kind};
use runtime::tree::view::TreeView;
use sys::{FileKind, Root, Timestamp};

use super::ExportError;

/// Access bits while a folder is being filled.
const OPEN: u32 = 0o700;

/// Writes everything that the view shows below `dest`, which is made where it is missing and merged into where it is not.
/// Links are never followed. All of it is the caller's, as with docker's export: whoever asked for files can use and
/// remove them, whatever ids the image has and whichever the sandbox may give away. A tar keeps the owners.
pub(super) fn write(view: &TreeView, dest: &Path, clamp: Option<i64>) -> Result<(), ExportError> {
    std::fs::create_dir_all(dest).map_err(|source| ExportError::io("mkdir", dest, source))?;
    let root = Root::open(dest)?;
    let mut folders = Vec::new();
    view.visit(&view.root(), |path, node| {
        if path.is_empty() {
            return Ok(true);
        }
        let mut entry = node.entry().clone();
        entry.mtime = clamp.map_or(entry.mtime, |clamp| entry.mtime.min(clamp));
        let name = Path::new(OsStr::from_bytes(path));
        make_way(&root, name, entry.kind)?;
        match entry.kind {
            Kind::Dir => {
                match root.mkdir(name, entry.mode | OPEN) {
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                    other => other?,
                }
                folders.push((name.to_path_buf(), entry));
                return Ok::<bool, ExportError>(true);
            }
            Kind::File => {
                let mut file = root.create(name, 0o600, true)?;
                std::io::copy(&mut view.open(node)?, &mut file)
                    .map_err(|source| ExportError::io("write", &dest.join(name), source))?;
            }
            Kind::Symlink => root.symlink(OsStr::from_bytes(&entry.link), name)?,
            Kind::Fifo => root.mkfifo(name, entry.mode)?,
            Kind::Char => root.mknod(name, 0o020_000 | entry.mode, entry.rdev)?,
            Kind::Block => root.mknod(name, 0o060_000 | entry.mode, entry.rdev)?,
            // A view shows no deletions, and further names as the files that they are.
            Kind::Hardlink | Kind::Whiteout | Kind::Opaque => return Ok(false),
        }
        dress(&root, name, &entry)?;
        Ok(true)
    })?;
    // Folders last: filling them changes their times, and their modes may forbid it.
    for (name, entry) in folders.iter().rev() {
        dress(&root, name, entry)?;
    }
    Ok(())
}

/// Removes what is in the way: anything, except a folder where a folder goes.
fn make_way(root: &Root, name: &Path, kind: Kind) -> Result<(), ExportError> {
    match root.stat(name) {
        Err(error) if error.is_not_found() => Ok(()),
        Ok(stat) if kind == Kind::Dir && stat.kind() == FileKind::Dir => Ok(()),
        Ok(_) => Ok(root.remove_all(name)?),
        Err(error) => Err(error.into()),
    }
}

/// Mode, then times.
fn dress(root: &Root, name: &Path, entry: &Entry) -> Result<(), ExportError> {
    if entry.kind != Kind::Symlink {
        root.chmod(name, entry.mode)?;
    }
    for (attribute, value) in &entry.xattrs {
        match root.set_xattr(name, OsStr::from_bytes(attribute), value) {
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::Unsupported) => {}
            other => other?,
        }
    }
    let time = Timestamp { seconds: entry.mtime, nanoseconds: 0 };
    Ok(root.utimens(name, time, time)?)
}
