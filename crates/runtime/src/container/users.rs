//! A user namespace inside of the one that containers are started in, and the file tree that goes with it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::DumpableBehavior;
use sys::ns::{IdMap, Joined, Namespaces};

use super::boundary::Users;
use super::error::StartError;
use super::namespaces::Shared;
use crate::snapshot::RootFs;

/// Set-user-id and set-group-id: the kernel takes them away when an owner changes.
const SET_IDS: u32 = 0o6000;
/// Deeper trees than this are nobody's image.
const MAX_DEPTH: usize = 1024;

/// Enters the users' namespace, with no id in it yet taken on. Every capability is held in it, and none outside.
pub(super) fn enter(users: &Users, shared: &Shared, proc: Option<&OwnedFd>) -> Result<(), StartError> {
    match users {
        _ if shared.host.is_some() => Ok(shared.host.iter().try_for_each(|host| sys::ns::join(host, Joined::USER))?),
        Users::Same => Ok(()),
        Users::Joined { index, .. } => Ok(sys::ns::join(shared.get(*index)?, Joined::USER)?),
        Users::Own { uids, gids } => {
            let proc = proc.ok_or_else(|| StartError::setup("open /proc", Errno::NOENT))?;
            make(uids, gids, proc)
        }
    }
}

/// A child that stays outside writes the maps: only who rules the namespace outside may map more than one id.
fn make(uids: &[IdMap], gids: &[IdMap], proc: &OwnedFd) -> Result<(), StartError> {
    let pipe = || std::io::pipe().map_err(|error| sys::Error::from_io("pipe", "", &error));
    let (mut go, mut start) = pipe()?;
    let (mut said, mut say) = pipe()?;
    let files = [("uid_map", text(uids)), ("gid_map", text(gids))];
    let process = rustix::process::getpid().as_raw_nonzero();
    let child = {
        let proc = proc.try_clone().map_err(|error| sys::Error::from_io("dup", "", &error))?;
        sys::fork::child(move || {
            if go.read_exact(&mut [0]).is_err() {
                return 1;
            }
            for (name, text) in files {
                if let Err(errno) = write(&proc, &format!("{process}/{name}"), &text) {
                    let _ = say.write_all(format!("{name}: {errno}").as_bytes());
                    return 1;
                }
            }
            0
        })?
    };
    sys::ns::unshare(Namespaces::NEWUSER)?;
    // The files of a process that isn't dumpable are the machine's root's. Nobody else is inside yet to profit.
    set_dumpable(DumpableBehavior::Dumpable)?;
    let _ = start.write_all(b"y");
    let mut why = String::new();
    let _ = said.read_to_string(&mut why);
    let written = child.wait()? == 0;
    set_dumpable(DumpableBehavior::NotDumpable)?;
    if written { Ok(()) } else { Err(StartError::Invalid(format!("cannot map the container's users: {why}"))) }
}

fn set_dumpable(how: DumpableBehavior) -> Result<(), StartError> {
    rustix::process::set_dumpable_behavior(how).map_err(|errno| StartError::setup("prctl", errno))
}

fn text(map: &[IdMap]) -> String {
    map.iter().map(|row| format!("{} {} {}\n", row.inside, row.outside, row.count)).collect()
}

fn write(proc: &OwnedFd, path: &str, text: &str) -> Result<(), Errno> {
    let file = rustix::fs::openat(proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes()).map(drop)
}

/// Gives the file tree to the users inside: what was 0's outside becomes that of whoever is 0 inside. Once: a mark beside the tree
/// says that it is done.
pub(super) fn give_tree(users: &Users, rootfs: &RootFs, mount: &OwnedFd) -> Result<(), StartError> {
    if users.maps().is_none() {
        return Ok(());
    }
    let tree = match rootfs {
        RootFs::Overlay { upper, .. } => upper,
        RootFs::Dir(dir) => dir,
        RootFs::View { .. } => {
            return Err(StartError::Invalid("a tree that can't be written can't be given to other users".to_owned()));
        }
    };
    let mark = mark(tree);
    let (uids, gids) = users.maps().unwrap_or_default();
    let wanted = format!("{}\n{}done\n", text(uids), text(gids));
    match std::fs::read_to_string(&mark) {
        Ok(found) if found == wanted => return Ok(()),
        Ok(_) => {
            let why =
                "the container's files belong to users of another map, or were being given away when that was cut off";
            return Err(StartError::Invalid(format!("{why}: remove the container and make it again")));
        }
        Err(_) => {}
    }
    let note = |text: &str| {
        std::fs::write(&mark, text).map_err(|error| StartError::from(sys::Error::from_io("write", &mark, &error)))
    };
    note("")?;
    // Overlay parts the names of a file when one of them changes; elsewhere a file is met under each.
    let mut seen = if matches!(rootfs, RootFs::Dir(_)) { Some(HashSet::new()) } else { None };
    let root = rustix::fs::openat(mount, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.map_err(|errno| StartError::setup("open the file tree", errno))?;
    give_one(root.as_fd(), OsStr::new(""), users, &mut seen)?;
    give_below(root, users, &mut seen, 0)?;
    note(&wanted)
}

fn mark(tree: &Path) -> PathBuf {
    let mut name = tree.as_os_str().to_owned();
    name.push(".users");
    PathBuf::from(name)
}

type Seen = Option<HashSet<u64>>;

fn give_below(dir: OwnedFd, users: &Users, seen: &mut Seen, depth: usize) -> Result<(), StartError> {
    if depth > MAX_DEPTH {
        return Err(StartError::Invalid(format!("the image's folders are more than {MAX_DEPTH} deep")));
    }
    let again = dir.try_clone().map_err(|error| sys::Error::from_io("dup", "", &error))?;
    let mut entries = sys::dirents::Dirents::new(again);
    while let Some((name, _, _)) = entries.next_borrowed()? {
        let name = name.to_owned();
        if name.as_bytes() == b"." || name.as_bytes() == b".." {
            continue;
        }
        if give_one(dir.as_fd(), &name, users, seen)? {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let below = rustix::fs::openat(&dir, &name, flags, Mode::empty());
            let below = below.map_err(|errno| StartError::setup(format!("open {}", name.display()), errno))?;
            give_below(below, users, seen, depth + 1)?;
        }
    }
    Ok(())
}

/// Gives one file; whether it is a directory.
fn give_one(dir: BorrowedFd<'_>, name: &OsStr, users: &Users, seen: &mut Seen) -> Result<bool, StartError> {
    let failed = |errno| StartError::setup(format!("give {} to the container's users", name.display()), errno);
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    let stat = rustix::fs::statat(dir, name, flags).map_err(failed)?;
    let is_dir = stat.st_mode & 0o170_000 == 0o040_000;
    let is_link = stat.st_mode & 0o170_000 == 0o120_000;
    if let Some(seen) = seen
        && stat.st_nlink > 1
        && !is_dir
        && !seen.insert(stat.st_ino)
    {
        return Ok(false);
    }
    let (uid, gid) = users.outside(stat.st_uid, stat.st_gid);
    if (uid, gid) == (stat.st_uid, stat.st_gid) {
        return Ok(is_dir);
    }
    let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(dir, name, owner, group, flags).map_err(failed)?;
    if !is_dir && !is_link && stat.st_mode & SET_IDS != 0 {
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        rustix::fs::chmodat(dir, name, mode, AtFlags::empty()).map_err(failed)?;
    }
    Ok(is_dir)
}
