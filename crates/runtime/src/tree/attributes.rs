//! Owner, mode, attributes and times of what was just made in a tree.

use std::os::fd::AsFd;
use std::path::PathBuf;

use layer::{Entry, is_private_xattr};
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use sys::{Error, Result, Root, xattr};

use super::IdPolicy;
use super::special::{REFUSED, name};
use crate::single_id::owner::{self, Owner, Owners};

/// Sets attributes as the policy wants them, and counts what was refused.
#[derive(Debug)]
pub(super) struct Attributes {
    ids: Ids,
    /// What the kernel takes away from the mode of a new file.
    umask: u32,
    /// Who owns a new file, as far as that is sure.
    creator: Option<(u32, u32)>,
    /// Whether modes may be other than asked for, because a directory has a default ACL.
    acls: bool,
    pub(super) refused_xattrs: u64,
}

#[derive(Debug)]
enum Ids {
    Keep,
    Recorded { tree: PathBuf, owners: Owners, changed: bool },
}

impl Attributes {
    /// For a tree at `root`; `fresh` if nothing but what we make is in it.
    pub(super) fn new(root: &Root, ids: &IdPolicy, fresh: bool) -> Result<Attributes> {
        let ids = match ids {
            IdPolicy::Keep => Ids::Keep,
            IdPolicy::Recorded(tree) => Ids::Recorded { tree: tree.clone(), owners: Owners::of(tree)?, changed: false },
        };
        let setgid = sys::stat::of(root)?.mode & 0o2000 != 0;
        let creator = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let acls = !fresh || xattr::get(root, name(DEFAULT_ACL))?.is_some();
        let creator = (fresh && !setgid).then_some(creator);
        Ok(Attributes { ids, umask: umask(), creator, acls, refused_xattrs: 0 })
    }

    /// Who owns what no archive names: root, as far as we may say so.
    pub(super) fn default_owner(&self) -> (u32, u32) {
        match self.ids {
            Ids::Recorded { .. } => (0, 0),
            Ids::Keep if rustix::process::geteuid().is_root() => (0, 0),
            Ids::Keep => (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        }
    }

    /// The mode to make a file with: with write access for us, where attributes are to be set that need it.
    pub(super) fn initial_mode(&self, entry: &Entry) -> u32 {
        let records = matches!(self.ids, Ids::Recorded { .. }) || !entry.xattrs.is_empty();
        entry.mode & 0o777 | if records { 0o600 } else { 0 }
    }

    /// Sets everything but the time on a file or directory just made with [`Attributes::initial_mode`] (or `made`);
    /// the mode only if `set_mode`.
    pub(super) fn set(&mut self, fd: impl AsFd, entry: &Entry, made: u32, set_mode: bool) -> Result<()> {
        let fd = fd.as_fd();
        // Before the owner changes, as `user.` attributes need write access; capabilities after, as that drops them.
        let late = |attribute: &[u8]| attribute.starts_with(b"security.");
        for (attribute, value) in entry.xattrs.iter().filter(|(attribute, _)| !late(attribute)) {
            self.set_xattr(fd, attribute, value)?;
        }
        self.set_owner(fd, entry)?;
        for (attribute, value) in entry.xattrs.iter().filter(|(attribute, _)| late(attribute)) {
            self.set_xattr(fd, attribute, value)?;
        }
        if set_mode && (entry.mode != made & !self.umask || self.acls) {
            let mode = Mode::from_raw_mode(entry.mode);
            rustix::fs::fchmod(fd, mode).map_err(|errno| Error::new("fchmod", "", errno))?;
        }
        Ok(())
    }

    fn set_owner(&mut self, fd: impl AsFd, entry: &Entry) -> Result<()> {
        if let Ids::Recorded { .. } = self.ids {
            return match (entry.uid, entry.gid) {
                (0, 0) => Ok(()),
                (uid, gid) => xattr::set(fd, name(owner::XATTR.as_bytes()), Owner { uid, gid }.encode().as_bytes()),
            };
        }
        if self.creator == Some((entry.uid, entry.gid)) {
            return Ok(());
        }
        let (uid, gid) = ids(entry);
        rustix::fs::fchown(fd, uid, gid).map_err(|errno| Error::new("fchown", "", errno))
    }

    /// Sets an attribute; one that the kernel refuses is kept under a name that it doesn't, and restored from there.
    fn set_xattr(&mut self, fd: impl AsFd, attribute: &[u8], value: &[u8]) -> Result<()> {
        if is_private_xattr(attribute) {
            return Ok(());
        }
        self.acls |= attribute == DEFAULT_ACL;
        let Err(error) = xattr::set(&fd, name(attribute), value) else {
            return Ok(());
        };
        if !matches!(error.errno(), Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL | Errno::ACCESS) {
            return Err(error);
        }
        let kept = [REFUSED, attribute].concat();
        if xattr::set(&fd, name(&kept), value).is_err() {
            self.refused_xattrs += 1;
        }
        Ok(())
    }

    /// Sets everything but the time on a link, pipe or device just made as `last` in `dir`; `path` is where it lies.
    pub(super) fn set_at(&mut self, dir: &Root, last: &[u8], entry: &Entry, root: &Root) -> Result<()> {
        match &mut self.ids {
            Ids::Recorded { owners, changed, .. } if (entry.uid, entry.gid) != (0, 0) => {
                let stat = dir.stat(name(last))?;
                let owner = Owner { uid: entry.uid, gid: entry.gid };
                owners.set(root, name(&entry.path).as_ref(), &stat, owner)?;
                *changed = true;
            }
            Ids::Recorded { .. } => {}
            Ids::Keep if self.creator == Some((entry.uid, entry.gid)) => {}
            Ids::Keep => dir.chown(name(last), entry.uid, entry.gid)?,
        }
        for (attribute, value) in &entry.xattrs {
            if !is_private_xattr(attribute) && xattr::set_at(dir.as_fd(), name(last), name(attribute), value).is_err() {
                self.refused_xattrs += 1;
            }
        }
        if entry.kind != layer::Kind::Symlink {
            dir.chmod(name(last), entry.mode)?;
        }
        set_time_at(dir, last, entry.mtime)
    }

    /// Writes what was recorded beside the tree.
    pub(super) fn finish(&self) -> Result<()> {
        match &self.ids {
            Ids::Recorded { owners, changed: true, tree } => owners.save().map_err(|error| error.at(tree)),
            Ids::Recorded { .. } | Ids::Keep => Ok(()),
        }
    }
}

const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

fn ids(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

/// Both times of an open file.
pub(super) fn set_time(fd: impl AsFd, mtime: i64) -> Result<()> {
    rustix::fs::futimens(fd, &times(mtime)).map_err(|errno| Error::new("futimens", "", errno))
}

/// Both times of `last` in `dir`; of the link itself, if it is one.
pub(super) fn set_time_at(dir: &Root, last: &[u8], mtime: i64) -> Result<()> {
    rustix::fs::utimensat(dir, name(last), &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| Error::new("utimensat", name(last), errno))
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// The process' umask, which only `/proc` tells without changing it; if that is missing, the worst is assumed.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|umask| u32::from_str_radix(umask.trim(), 8).ok()).unwrap_or(0o777)
}
