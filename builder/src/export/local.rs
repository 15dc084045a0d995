//! The file tree of an image as a folder of the host.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use layer::{Entry, Kind};
use runtime::tree::view::TreeView;
use sys::{FileKind, Root, Timestamp};

use super::ExportError;
use super::tar::{Links, first_name};

/// Access bits while a folder is being filled.
const OPEN: u32 = 0o700;

/// Writes everything that the view shows below `dest`, which is made where it is missing and merged into where it is not.
/// Links are never followed. All of it is the caller's, as with docker's export: whoever asked for files can use and
/// remove them, whatever ids the image has and whichever the sandbox may give away. A tar keeps the owners.
pub(super) fn write(view: &TreeView, dest: &Path, clamp: Option<i64>) -> Result<(), ExportError> {
    std::fs::create_dir_all(dest).map_err(|source| ExportError::io("mkdir", dest, source))?;
    let root = Root::open(dest)?;
    let (mut folders, mut links) = (Vec::new(), Links::new());
    view.visit(&view.root(), |path, node| {
        if path.is_empty() {
            return Ok(true);
        }
        let mut entry = node.entry().clone();
        entry.mtime = clamp.map_or(entry.mtime, |clamp| entry.mtime.min(clamp));
        entry.mode &= harmless(entry.kind);
        let name = Path::new(OsStr::from_bytes(path));
        make_way(&root, name, entry.kind)?;
        if let Some(first) = first_name(view, node, &mut links)? {
            match root.hardlink(Path::new(OsStr::from_bytes(&first)), name) {
                Ok(()) => return Ok(true),
                // A file system without them gets copies.
                Err(error) if is_unlinkable(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
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
            Kind::Char | Kind::Block => {
                let kind = if entry.kind == Kind::Char { 0o020_000 } else { 0o060_000 };
                match root.mknod(name, kind | entry.mode, entry.rdev) {
                    // An ordinary user's folder has no devices; a tar does.
                    Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(false),
                    other => other?,
                }
            }
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

/// Writes files of ours into the folder, instead of what the image has there.
pub(super) fn add(dest: &Path, files: &[(String, Vec<u8>)], epoch: Option<i64>) -> Result<(), ExportError> {
    let root = Root::open(dest)?;
    for (name, bytes) in files {
        let path = Path::new(name);
        make_way(&root, path, Kind::File)?;
        let mut file = root.create(path, 0o600, true)?;
        file.write_all(bytes).map_err(|source| ExportError::io("write", &dest.join(path), source))?;
        root.chmod(path, 0o644)?;
        if let Some(seconds) = epoch {
            let time = Timestamp { seconds, nanoseconds: 0 };
            root.utimens(path, time, time)?;
        }
    }
    Ok(())
}

/// Whether another name for a file is what the place has no room for.
fn is_unlinkable(error: &sys::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), PermissionDenied | TooManyLinks | Unsupported)
}

/// The permissions that a file of an image may have on the host, where it is the caller's: one that ran as its owner would
/// run as whoever exported it, and a device would be open to whom the image says.
fn harmless(kind: Kind) -> u32 {
    match kind {
        Kind::Dir => 0o7777,
        Kind::Char | Kind::Block => 0o700,
        Kind::File | Kind::Hardlink | Kind::Symlink | Kind::Fifo | Kind::Whiteout | Kind::Opaque => 0o1777,
    }
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
    // Capabilities of a program are rights as setuid is.
    for (attribute, value) in entry.xattrs.iter().filter(|(attribute, _)| attribute[..] != *b"security.capability") {
        match root.set_xattr(name, OsStr::from_bytes(attribute), value) {
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::Unsupported) => {}
            other => other?,
        }
    }
    let time = Timestamp { seconds: entry.mtime, nanoseconds: 0 };
    Ok(root.utimens(name, time, time)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use runtime::tree::IdPolicy;
    use runtime::tree::view::LayerSource;

    use super::*;

    #[test]
    fn an_export_gives_no_rights_and_follows_no_link() {
        let [from, to, outside] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let setuid = from.path().join("su");
        std::fs::write(&setuid, "su").unwrap();
        std::fs::set_permissions(&setuid, std::fs::Permissions::from_mode(0o4755)).unwrap();
        std::fs::create_dir(from.path().join("d")).unwrap();
        std::fs::write(from.path().join("d/f"), "mine").unwrap();
        std::fs::write(outside.path().join("f"), "yours").unwrap();
        std::os::unix::fs::symlink(outside.path(), to.path().join("d")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("f"), to.path().join("su")).unwrap();
        let root = Root::open(from.path()).unwrap();
        let view = TreeView::new(vec![LayerSource::Tree { root, toc: None, ids: IdPolicy::Keep }]).unwrap();
        write(&view, to.path(), None).unwrap();
        assert_eq!(std::fs::metadata(to.path().join("su")).unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(std::fs::read_to_string(to.path().join("d/f")).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(outside.path().join("f")).unwrap(), "yours");
    }

    #[test]
    fn names_of_one_file_stay_so() {
        use std::os::unix::fs::MetadataExt as _;
        let [from, to] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        std::fs::write(from.path().join("a"), "one").unwrap();
        std::fs::hard_link(from.path().join("a"), from.path().join("b")).unwrap();
        std::fs::write(to.path().join("b"), "in the way").unwrap();
        let root = Root::open(from.path()).unwrap();
        let view = TreeView::new(vec![LayerSource::Tree { root, toc: None, ids: IdPolicy::Keep }]).unwrap();
        write(&view, to.path(), None).unwrap();
        let inode = |name| std::fs::metadata(to.path().join(name)).unwrap().ino();
        assert_eq!(inode("a"), inode("b"));
        // Again, over what is there.
        write(&view, to.path(), None).unwrap();
        assert_eq!((inode("a"), std::fs::read(to.path().join("b")).unwrap()), (inode("b"), b"one".to_vec()));
    }
}
