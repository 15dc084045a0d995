//! Answering chown: the kernel is told to do what it can, and the owner is recorded.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, StatxFlags, Uid, XattrFlags};
use rustix::io::Errno;
use sys::{FileKind, Root, Stat};

use super::credentials::{Credentials, KEEP};
use super::owner::{Owner, Owners, XATTR};

/// After how many rows the table is written.
const UNWRITTEN: usize = 256;

/// Where the owners of a container's files are recorded.
#[derive(Debug)]
pub(super) struct Recorder {
    /// The tree in which changes show.
    tree: Root,
    owners: Owners,
    /// The mount that is the container's root; the table is for files on it.
    mount: Option<u64>,
    unwritten: usize,
}

impl Recorder {
    /// For the tree `changed`.
    pub(super) fn new(changed: &Path) -> sys::Result<Self> {
        Ok(Self { tree: Root::open(changed)?, owners: Owners::of(changed)?, mount: None, unwritten: 0 })
    }

    /// Learns from a thread that calls which mount is the container's root. Not from its first process: that one may be
    /// ours, which nobody may look into.
    pub(super) fn meet(&mut self, thread: u32) {
        if self.mount.is_none() {
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
            let root = rustix::fs::open(format!("/proc/{thread}/root"), flags, rustix::fs::Mode::empty());
            self.mount = root.ok().and_then(|root| mount_of(&root));
        }
    }

    /// Gives the file that `fd` (`O_PATH`) names to `to`, on behalf of a process with these credentials.
    pub(super) fn chown(&mut self, fd: &OwnedFd, to: (u32, u32), caller: &Credentials) -> Result<(), Errno> {
        let stat = sys::stat::of(fd).map_err(|error| error.errno())?;
        let by_attribute = matches!(stat.kind(), FileKind::File | FileKind::Dir);
        let before = if by_attribute { attribute_of(fd) } else { self.row_of(fd).map(|(_, _, owner)| owner) };
        let before = before.unwrap_or(Owner::ROOT);
        if !caller.may_chown((before.uid, before.gid), to) {
            return Err(Errno::PERM);
        }
        match real_chown(fd) {
            // Not a file of ours, such as a device of the machine's: there is no owner to change.
            Err(Errno::PERM | Errno::INVAL) => return Ok(()),
            other => other?,
        }
        let keep = |id: u32, before: u32| if id == KEEP { before } else { id };
        let owner = Owner { uid: keep(to.0, before.uid), gid: keep(to.1, before.gid) };
        if by_attribute { set_attribute(fd, &stat, owner) } else { self.set_row(fd, owner) }
    }

    /// Writes what isn't on disk yet.
    pub(super) fn finish(&mut self) -> sys::Result<()> {
        self.owners.flush()
    }

    /// The path in the changed tree and what is there. Asked of after the file was changed once, so that it is there.
    fn row_of(&self, fd: &OwnedFd) -> Option<(PathBuf, Stat, Owner)> {
        if self.mount.is_none() || mount_of(fd) != self.mount {
            return None;
        }
        // As seen from the root of the container's mounts, which is what is mounted there.
        let path = std::fs::read_link(proc_path(fd)).ok()?;
        let stat = self.tree.stat(&path).ok()?;
        let owner = self.owners.get(&self.tree, &path, &stat).ok()?;
        Some((path, stat, owner.unwrap_or(Owner::ROOT)))
    }

    fn set_row(&mut self, fd: &OwnedFd, owner: Owner) -> Result<(), Errno> {
        // On another mount, or without a name any more: nobody will make a layer of it.
        let Some((path, stat, before)) = self.row_of(fd) else { return Ok(()) };
        if before == owner {
            return Ok(());
        }
        self.owners.set(&self.tree, &path, &stat, owner).map_err(|error| error.errno())?;
        self.unwritten += 1;
        if self.unwritten >= UNWRITTEN {
            self.unwritten = 0;
            self.owners.flush().map_err(|error| error.errno())?;
        }
        Ok(())
    }
}

/// Gives the file to the one id there is: it is copied up, loses its set-id bits and changes its ctime, as it should.
fn real_chown(fd: &OwnedFd) -> Result<(), Errno> {
    let (uid, gid) = (Some(Uid::from_raw(0)), Some(Gid::from_raw(0)));
    rustix::fs::chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH)
}

fn attribute_of(fd: &OwnedFd) -> Option<Owner> {
    let mut value = [0; 32];
    let length = rustix::fs::getxattr(proc_path(fd), XATTR, &mut value).ok()?;
    Owner::decode(&value[..length])
}

fn set_attribute(fd: &OwnedFd, stat: &Stat, owner: Owner) -> Result<(), Errno> {
    let path = proc_path(fd);
    let set = || match owner {
        Owner::ROOT => rustix::fs::removexattr(&path, XATTR),
        _ => rustix::fs::setxattr(&path, XATTR, owner.encode().as_bytes(), XattrFlags::empty()),
    };
    match set() {
        // A file system without such attributes is none that a layer is made of.
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        // Its own mode stands in the way, where the capability to ignore it is missing.
        Err(Errno::ACCESS) => {
            let mode = |bits| rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(bits));
            mode(stat.permissions() | 0o200)?;
            let done = set();
            mode(stat.permissions())?;
            done
        }
        other => other,
    }
}

fn mount_of(fd: &OwnedFd) -> Option<u64> {
    let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    (stat.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(stat.stx_mnt_id)
}

fn proc_path(fd: &OwnedFd) -> PathBuf {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    PathBuf::from(std::ffi::OsStr::from_bytes(path.as_bytes()))
}
