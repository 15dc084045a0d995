//! Copying a layer tree onto a directory, so that the directory looks as the layer over it would.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sys::{FileKind, OpenFlags, Root, Stat, reflink};

use super::whiteout::{self, PREFIX};
use crate::single_id::owner::Owners;

/// One layer on its way onto a directory. Two descriptors are open at a time, however deep the tree is.
struct Layer<'a> {
    from: &'a Root,
    to: &'a Root,
    owners: &'a Owners,
    recorded: &'a mut Owners,
    /// Where the first name of a file with several went.
    links: HashMap<(u64, u64), PathBuf>,
    /// Directories still to be copied.
    pending: Vec<PathBuf>,
    /// Directories done, whose times are set last: filling them changes these.
    done: Vec<(PathBuf, Stat)>,
}

/// Puts the layer tree at `fs` over what is in `to`. Owners recorded beside it are recorded in `recorded`.
pub(super) fn layer(fs: &Path, to: &Root, recorded: &mut Owners) -> sys::Result<()> {
    copy(&Root::open(fs)?, to, &Owners::of(fs)?, recorded)
}

/// Puts a tree that is mounted over what is in `to`: owners, modes, times, attributes, links and holes as they are. Owners that are
/// recorded as attributes come along, those in a table do not.
pub(crate) fn tree(from: &Root, to: &Root) -> sys::Result<()> {
    copy(from, to, &Owners::default(), &mut Owners::default())
}

fn copy(from: &Root, to: &Root, owners: &Owners, recorded: &mut Owners) -> sys::Result<()> {
    let (links, done) = (HashMap::new(), Vec::new());
    let mut layer = Layer { from, to, owners, recorded, links, pending: vec![PathBuf::new()], done };
    while let Some(dir) = layer.pending.pop() {
        layer.directory(&dir)?;
    }
    for (dir, stat) in layer.done.iter().rev() {
        to.utimens(dir, stat.mtime, stat.mtime)?;
    }
    Ok(())
}

impl Layer<'_> {
    fn directory(&mut self, path: &Path) -> sys::Result<()> {
        let stat = self.from.stat(path)?;
        let (from, to) = (self.from.open_dir(path)?, self.to.open_dir(path)?);
        attributes(&from, "", &to, "")?;
        self.done.push((path.to_owned(), stat));
        for entry in from.read_dir("")? {
            let name = entry?.name;
            self.entry(&from, &to, path, &name)?;
        }
        Ok(())
    }

    fn entry(&mut self, from: &Root, to: &Root, dir: &Path, name: &OsStr) -> sys::Result<()> {
        let path = dir.join(name);
        let file = Path::new(name);
        let stat = from.stat(file)?;
        if whiteout::is_whiteout(from, file, &stat)? {
            return to.remove_all(file);
        }
        let merges =
            stat.is_dir() && !whiteout::is_opaque(from, file)? && to.stat(file).is_ok_and(|below| below.is_dir());
        if !merges {
            to.remove_all(file)?;
        }
        if stat.is_dir() {
            if !merges {
                to.mkdir(file, 0o700)?;
            }
            self.pending.push(path);
            return Ok(());
        }
        if stat.nlink > 1 {
            if let Some(first) = self.links.get(&(stat.dev, stat.ino)) {
                return self.to.hardlink(first, &path);
            }
            self.links.insert((stat.dev, stat.ino), path);
        }
        make(from, to, name, &stat)?;
        attributes(from, name, to, name)?;
        to.utimens(file, stat.mtime, stat.mtime)?;
        // On files the record is an attribute, and copied; only the table needs help.
        if stat.kind() != FileKind::File
            && let Some(owner) = self.owners.get(from, file, &stat)?
        {
            self.recorded.set(to, file, &to.stat(file)?, owner)?;
        }
        Ok(())
    }
}

fn make(from: &Root, to: &Root, name: &OsStr, stat: &Stat) -> sys::Result<()> {
    match stat.kind() {
        FileKind::File => {
            let source = from.open_file(name, OpenFlags::RDONLY | OpenFlags::NOFOLLOW)?;
            let target = to.create(name, 0o600, true)?;
            reflink::copy_file(&source, &target).map(drop).map_err(|error| error.at(name))
        }
        FileKind::Symlink => to.symlink(from.readlink(name)?, name),
        _ => to.mknod(name, stat.mode, stat.rdev),
    }
}

/// Gives `to` the owner, mode and extended attributes of `from`, overlayfs' own excepted.
pub(super) fn attributes(
    from: &Root,
    source: impl AsRef<Path>,
    to: &Root,
    target: impl AsRef<Path>,
) -> sys::Result<()> {
    let (source, target) = (source.as_ref(), target.as_ref());
    let (stat, now) = (from.stat(source)?, to.stat(target)?);
    if (stat.uid, stat.gid) != (now.uid, now.gid) {
        to.chown(target, stat.uid, stat.gid)?;
    }
    if !stat.is_symlink() {
        to.chmod(target, stat.permissions())?;
    }
    for name in from.list_xattrs(source)? {
        if name.as_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let Some(value) = from.get_xattr(source, &name)? else { continue };
        match to.set_xattr(target, &name, &value) {
            // Labels and the like, which only the kernel's own policy may set.
            Err(error) if error.errno() == Errno::PERM && !name.as_bytes().starts_with(b"user.") => {}
            Err(error) if error.errno() == Errno::OPNOTSUPP => {}
            other => other?,
        }
    }
    Ok(())
}
