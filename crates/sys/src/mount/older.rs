//! Attributes of mounts where the kernel has no `mount_setattr` (before Linux 5.12): by remounts, as they were before descriptors.
//!
//! A remount takes only a mount that is attached. What is asked of a detached one is remembered, by the mount's number, and done when it is
//! attached; a copy of it takes that along.

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxFlags};
use rustix::io::Errno;

use crate::{Error, Result};

const PROC_SUPER_MAGIC: u64 = 0x9fa0;
/// What a remount would take away if it did not name it again, and may not where a mount is locked.
const LASTING: [(StatVfsMountFlags, libc::c_ulong); 4] = [
    (StatVfsMountFlags::RDONLY, libc::MS_RDONLY),
    (StatVfsMountFlags::NOSUID, libc::MS_NOSUID),
    (StatVfsMountFlags::NODEV, libc::MS_NODEV),
    (StatVfsMountFlags::NOEXEC, libc::MS_NOEXEC),
];
/// The attributes that we set, and their older names.
const NAMES: [(u64, libc::c_ulong); 5] = [
    (libc::MOUNT_ATTR_RDONLY, libc::MS_RDONLY),
    (libc::MOUNT_ATTR_NOSUID, libc::MS_NOSUID),
    (libc::MOUNT_ATTR_NODEV, libc::MS_NODEV),
    (libc::MOUNT_ATTR_NOEXEC, libc::MS_NOEXEC),
    (libc::MOUNT_ATTR_NOATIME, libc::MS_NOATIME),
];

/// What is asked of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    /// Flags of mount(2): attributes, or one of propagation.
    flags: libc::c_ulong,
    propagates: bool,
    recursive: bool,
}

#[derive(Debug, Default)]
struct Known {
    /// A `/proc` that is not covered.
    proc: Option<OwnedFd>,
    /// What is to be done once a mount is attached.
    waiting: Vec<(u64, Change)>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// By which `/proc` mounts are found from now on, in this thread: for who is about to cover it, or to leave it.
pub(super) fn remember_proc(proc: BorrowedFd<'_>) -> Result<()> {
    let proc = proc.try_clone_to_owned().map_err(|error| Error::from_io("dup", "/proc", &error))?;
    KNOWN.with_borrow_mut(|known| known.proc = Some(proc));
    Ok(())
}

/// Does what `mount_setattr` would.
pub(super) fn change(mount: BorrowedFd<'_>, request: &libc::mount_attr, recursive: bool) -> Result<()> {
    let propagates = request.propagation != 0;
    let flags = if propagates { request.propagation } else { flags_of(request.attr_set)? };
    let change = Change { flags, propagates, recursive };
    if !is_attached(mount)? {
        let number = number_of(mount)?;
        KNOWN.with_borrow_mut(|known| known.waiting.push((number, change)));
        return Ok(());
    }
    apply(mount, change)
}

/// A copy was made of a mount.
pub(super) fn copied(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    if KNOWN.with_borrow(|known| known.waiting.is_empty()) {
        return Ok(());
    }
    let (from, to) = (number_of(from)?, number_of(to)?);
    KNOWN.with_borrow_mut(|known| {
        let same: Vec<_> =
            known.waiting.iter().filter(|(number, _)| *number == from).map(|(_, change)| *change).collect();
        known.waiting.extend(same.into_iter().map(|change| (to, change)));
    });
    Ok(())
}

/// A mount was attached: what waited for that is done.
pub(super) fn attached(mount: BorrowedFd<'_>) -> Result<()> {
    if KNOWN.with_borrow(|known| known.waiting.is_empty()) {
        return Ok(());
    }
    let own = number_of(mount)?;
    let changes: Vec<Change> = KNOWN.with_borrow_mut(|known| {
        let (now, later) = std::mem::take(&mut known.waiting).into_iter().partition(|(number, _)| *number == own);
        known.waiting = later;
        let now: Vec<(u64, Change)> = now;
        now.into_iter().map(|(_, change)| change).collect()
    });
    changes.into_iter().try_for_each(|change| apply(mount, change))
}

fn flags_of(attributes: u64) -> Result<libc::c_ulong> {
    let known = NAMES.iter().filter(|(name, _)| attributes & name != 0);
    let (names, flags) = known.fold((0, 0), |(names, flags), (name, flag)| (names | name, flags | flag));
    if names == attributes { Ok(flags) } else { Err(Error::new("mount --bind -o remount", "", Errno::NOSYS)) }
}

fn apply(mount: BorrowedFd<'_>, change: Change) -> Result<()> {
    if change.propagates {
        let all = if change.recursive { libc::MS_REC } else { 0 };
        return call(mount, change.flags | all);
    }
    remount(mount, change.flags)?;
    if change.recursive {
        below(mount)?.iter().try_for_each(|mount| remount(mount.as_fd(), change.flags))
    } else {
        Ok(())
    }
}

fn remount(mount: BorrowedFd<'_>, flags: libc::c_ulong) -> Result<()> {
    let now = rustix::fs::fstatvfs(mount).map_err(|errno| Error::new("fstatvfs", "", errno))?.f_flag;
    let lasting = LASTING.iter().filter(|(flag, _)| now.contains(*flag)).fold(0, |all, (_, flag)| all | flag);
    call(mount, libc::MS_REMOUNT | libc::MS_BIND | lasting | flags)
}

/// mount(2) of a mount that a descriptor names. Its link in `/proc` leads to it and nowhere else, whatever covers it.
fn call(mount: BorrowedFd<'_>, flags: libc::c_ulong) -> Result<()> {
    let failed = |errno| Error::new("mount -o remount", "", errno);
    let here = rustix::fs::open(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    rustix::process::fchdir(proc()?).map_err(failed)?;
    let path = format!("self/fd/{}\0", mount.as_raw_fd());
    // SAFETY: the path is terminated; the other strings are none, as these calls of mount(2) have it.
    let result =
        unsafe { libc::mount(std::ptr::null(), path.as_ptr().cast(), std::ptr::null(), flags, std::ptr::null()) };
    let done = if result == 0 { Ok(()) } else { Err(Error::last("mount -o remount", "")) };
    rustix::process::fchdir(here).map_err(failed)?;
    done
}

/// A `/proc` that is one.
fn proc() -> Result<OwnedFd> {
    let failed = |errno| Error::new("open", "/proc", errno);
    let remembered = KNOWN.with_borrow(|known| known.proc.as_ref().map(OwnedFd::try_clone).transpose());
    if let Some(proc) = remembered.map_err(|error| Error::from_io("dup", "/proc", &error))? {
        return Ok(proc);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty()).map_err(failed)?;
    let kind = rustix::fs::fstatfs(&proc).map_err(failed)?.f_type;
    if kind as u64 == PROC_SUPER_MAGIC { Ok(proc) } else { Err(failed(Errno::NOENT)) }
}

fn number_of(mount: BorrowedFd<'_>) -> Result<u64> {
    let failed = |errno| Error::new("statx", "", errno);
    let stat = rustix::fs::statx(mount, "", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, StatxFlags::MNT_ID);
    let stat = stat.map_err(failed)?;
    if stat.stx_mask & StatxFlags::MNT_ID.bits() != 0 { Ok(stat.stx_mnt_id) } else { Err(failed(Errno::NOSYS)) }
}

fn table() -> Result<Vec<Row>> {
    let failed = |errno| Error::new("open", "/proc/self/mountinfo", errno);
    let file = rustix::fs::openat(proc()?, "self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(file.map_err(failed)?), &mut text)
        .map_err(|error| Error::from_io("read", "/proc/self/mountinfo", &error))?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(row).collect())
}

fn is_attached(mount: BorrowedFd<'_>) -> Result<bool> {
    let number = number_of(mount)?;
    Ok(table()?.iter().any(|row| row.number == number))
}

/// All mounts below one, opened. One that cannot be reached any more, for something covers it, cannot be by who comes later either.
fn below(mount: BorrowedFd<'_>) -> Result<Vec<OwnedFd>> {
    let mut opened = Vec::new();
    for row in descendants(&table()?, number_of(mount)?) {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let Ok(found) = rustix::fs::openat(CWD, &row.path, flags, Mode::empty()) else { continue };
        if number_of(found.as_fd())? == row.number {
            opened.push(found);
        }
    }
    Ok(opened)
}

/// A line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    number: u64,
    parent: u64,
    path: PathBuf,
}

fn row(line: &[u8]) -> Option<Row> {
    use std::os::unix::ffi::OsStringExt as _;
    let mut words = line.split(|byte| *byte == b' ');
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
    let (number, parent) = (number()?, number()?);
    let path = std::ffi::OsString::from_vec(unescaped(words.nth(2)?));
    Some(Row { number, parent, path: path.into() })
}

/// `\040` and its like are the bytes that would end a word.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

fn descendants(table: &[Row], top: u64) -> Vec<&Row> {
    let mut numbers = vec![top];
    let mut found: Vec<&Row> = Vec::new();
    while let Some(parent) = numbers.pop() {
        for row in table.iter().filter(|row| row.parent == parent && row.number != parent) {
            // A table that is read while it changes might tell of a circle.
            if found.iter().all(|known| known.number != row.number) {
                numbers.push(row.number);
                found.push(row);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "22 1 0:21 / / rw - ext4 /dev/vda rw\n\
        30 22 0:22 / /srv/a\\040b rw,nosuid shared:3 - tmpfs tmpfs rw\n\
        31 30 0:23 /x /srv/a\\040b/c rw - tmpfs tmpfs rw\n\
        32 22 0:24 / /proc rw - proc proc rw\n\
        nonsense\n";

    #[test]
    fn the_table_tells_what_is_below() {
        let table: Vec<Row> = TABLE.as_bytes().split(|byte| *byte == b'\n').filter_map(row).collect();
        assert_eq!(table.len(), 4);
        assert_eq!(table[1].path, PathBuf::from("/srv/a b"));
        let below = |top| descendants(&table, top).iter().map(|row| row.number).collect::<Vec<_>>();
        assert_eq!(below(30), [31]);
        assert_eq!(below(22), [30, 32, 31]);
        assert_eq!(below(32), [0_u64; 0]);
    }

    #[test]
    fn attributes_have_older_names_or_are_refused() {
        let all = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOATIME;
        assert_eq!(flags_of(all).unwrap(), libc::MS_RDONLY | libc::MS_NODEV | libc::MS_NOATIME);
        assert!(flags_of(libc::MOUNT_ATTR_NOSYMFOLLOW).is_err());
    }
}
