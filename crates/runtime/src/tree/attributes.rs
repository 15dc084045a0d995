//! Owner, mode, attributes and times of what was just made in a tree.

use std::os::fd::{AsFd, BorrowedFd};
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
    rules: Rules,
    /// What the kernel takes away from the mode of a new file.
    umask: u32,
    /// Whether modes may be other than asked for, because a directory has a default ACL.
    acls: bool,
    pub(super) refused_xattrs: u64,
}

/// What is to be known to set attributes of something that is held open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Whether owners are recorded in attributes.
    recorded: bool,
    /// Who owns a new file, as far as that is sure.
    creator: Option<(u32, u32)>,
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
        let rules = Rules { recorded: matches!(ids, Ids::Recorded { .. }), creator };
        Ok(Attributes { ids, rules, umask: umask(), acls, refused_xattrs: 0 })
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
        let records = self.rules.recorded || !entry.xattrs.is_empty();
        entry.mode & 0o777 | if records { 0o600 } else { 0 }
    }

    /// Sets everything but the time on a file or directory just made with [`Attributes::initial_mode`] (or `made`);
    /// the mode only if `set_mode`.
    pub(super) fn set(&mut self, fd: impl AsFd, entry: &Entry, made: u32, set_mode: bool) -> Result<()> {
        self.acls |= entry.xattrs.contains_key(DEFAULT_ACL);
        let set_mode = set_mode && self.wants_mode(entry, made);
        self.refused_xattrs += self.rules.set(fd, entry, set_mode)?;
        Ok(())
    }

    /// Whether what was made with the mode `made` may have another one than it should.
    pub(super) fn wants_mode(&self, entry: &Entry, made: u32) -> bool {
        entry.mode != made & !self.umask || self.acls
    }

    /// For attributes that are set elsewhere.
    pub(super) fn rules(&self) -> Rules {
        self.rules
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
            Ids::Keep if self.rules.creator == Some((entry.uid, entry.gid)) => {}
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

impl Rules {
    /// Sets everything but the time, the mode only if `set_mode`; says how many attributes the kernel refused.
    pub(super) fn set(&self, fd: impl AsFd, entry: &Entry, set_mode: bool) -> Result<u64> {
        let fd = fd.as_fd();
        let mut refused = 0;
        // Before the owner changes, as `user.` attributes need write access; capabilities after, as that drops them.
        let late = |attribute: &[u8]| attribute.starts_with(b"security.");
        for (attribute, value) in entry.xattrs.iter().filter(|(attribute, _)| !late(attribute)) {
            refused += set_xattr(fd, attribute, value)?;
        }
        self.set_owner(fd, entry)?;
        for (attribute, value) in entry.xattrs.iter().filter(|(attribute, _)| late(attribute)) {
            refused += set_xattr(fd, attribute, value)?;
        }
        if set_mode {
            let mode = Mode::from_raw_mode(entry.mode);
            rustix::fs::fchmod(fd, mode).map_err(|errno| Error::new("fchmod", "", errno))?;
        }
        Ok(refused)
    }

    fn set_owner(&self, fd: BorrowedFd<'_>, entry: &Entry) -> Result<()> {
        if self.recorded {
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
}

/// Sets an attribute; one that the kernel refuses is kept under a name that it doesn't, and restored from there. Says
/// how many were refused even so.
fn set_xattr(fd: BorrowedFd<'_>, attribute: &[u8], value: &[u8]) -> Result<u64> {
    if is_private_xattr(attribute) {
        return Ok(0);
    }
    let Err(error) = xattr::set(fd, name(attribute), value) else {
        return Ok(0);
    };
    if !matches!(error.errno(), Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL | Errno::ACCESS) {
        return Err(error);
    }
    let kept = [REFUSED, attribute].concat();
    Ok(u64::from(xattr::set(fd, name(&kept), value).is_err()))
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
