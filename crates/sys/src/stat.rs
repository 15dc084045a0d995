//! What the kernel knows of a file, by statx.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::fs::{AtFlags, Statx, StatxFlags};

use crate::{Error, Result};

/// A point in time: seconds since 1970 (negative before) and nanoseconds within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01.
    pub seconds: i64,
    /// 0 to 999 999 999.
    pub nanoseconds: u32,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// What a file system that doesn't fill in `d_type` says: ask statx.
    Unknown,
}

impl FileKind {
    /// The kind in the `S_IFMT` bits of a mode.
    pub fn of_mode(mode: u32) -> Self {
        match mode & libc::S_IFMT {
            libc::S_IFREG => Self::File,
            libc::S_IFDIR => Self::Dir,
            libc::S_IFLNK => Self::Symlink,
            libc::S_IFCHR => Self::Char,
            libc::S_IFBLK => Self::Block,
            libc::S_IFIFO => Self::Fifo,
            libc::S_IFSOCK => Self::Socket,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn of_dirent(kind: u8) -> Self {
        Self::of_mode(u32::from(kind) << 12)
    }
}

/// The metadata of one file; of the link itself where it is a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The device number, as `st_dev` packs it.
    pub dev: u64,
    /// The inode number.
    pub ino: u64,
    /// The whole mode: kind and permissions. See [`Stat::permissions`] and [`Stat::kind`].
    pub mode: u32,
    /// How many names it has.
    pub nlink: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Bytes; of a link, the length of its target.
    pub size: u64,
    /// 512-byte blocks in use (fewer than `size` says: sparse).
    pub blocks: u64,
    /// Major and minor number of a device node.
    pub rdev: (u32, u32),
    /// When its content changed.
    pub mtime: Timestamp,
    /// When its metadata changed; nobody can set this one.
    pub ctime: Timestamp,
    /// When it was made, where the file system says.
    pub btime: Option<Timestamp>,
}

impl Stat {
    /// What it is.
    pub fn kind(&self) -> FileKind {
        FileKind::of_mode(self.mode)
    }

    /// The lowest 12 bits of the mode.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == FileKind::Dir
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind() == FileKind::File
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.kind() == FileKind::Symlink
    }
}

impl From<&Statx> for Stat {
    fn from(raw: &Statx) -> Self {
        let time = |t: &rustix::fs::StatxTimestamp| Timestamp { seconds: t.tv_sec, nanoseconds: t.tv_nsec };
        Self {
            dev: rustix::fs::makedev(raw.stx_dev_major, raw.stx_dev_minor),
            ino: raw.stx_ino,
            mode: u32::from(raw.stx_mode),
            nlink: raw.stx_nlink,
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            size: raw.stx_size,
            blocks: raw.stx_blocks,
            rdev: (raw.stx_rdev_major, raw.stx_rdev_minor),
            mtime: time(&raw.stx_mtime),
            ctime: time(&raw.stx_ctime),
            btime: (raw.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| time(&raw.stx_btime)),
        }
    }
}

/// The metadata of what a descriptor names.
pub fn of(fd: impl AsFd) -> Result<Stat> {
    statx(fd, Path::new(""), AtFlags::EMPTY_PATH)
}

/// The metadata of `name` in the directory `dir`; of the link itself, if it is one.
///
/// `name` is one component: this call doesn't confine what stands before it. [`crate::Root::stat`] does.
pub fn at(dir: impl AsFd, name: &Path) -> Result<Stat> {
    statx(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// What fstat(2) on `fd` would write for a caller of this architecture, with other owners.
pub fn bytes_for_fstat(fd: impl AsFd, uid: u32, gid: u32) -> Result<Vec<u8>> {
    // SAFETY: `stat` is plain numbers, for which zero is a value.
    let mut raw: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `stat`.
    if unsafe { libc::fstat(fd.as_fd().as_raw_fd(), &raw mut raw) } != 0 {
        return Err(Error::last("fstat", ""));
    }
    raw.st_uid = uid;
    raw.st_gid = gid;
    Ok(bytes_of(&raw))
}

/// What statx(2) on `fd` would write for this mask, with other owners.
pub fn bytes_for_statx(fd: impl AsFd, mask: u32, uid: u32, gid: u32) -> Result<Vec<u8>> {
    // SAFETY: `statx` is plain numbers, for which zero is a value.
    let mut raw: libc::statx = unsafe { std::mem::zeroed() };
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the path is an empty C string, and the kernel writes one `statx`.
    if unsafe { libc::statx(fd, c"".as_ptr(), libc::AT_EMPTY_PATH, mask, &raw mut raw) } != 0 {
        return Err(Error::last("statx", ""));
    }
    raw.stx_uid = uid;
    raw.stx_gid = gid;
    Ok(bytes_of(&raw))
}

fn bytes_of<T>(value: &T) -> Vec<u8> {
    // SAFETY: the callers' structs were zeroed as a whole, so that no byte of theirs is uninitialised.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }.to_vec()
}

fn statx(dir: impl AsFd, name: &Path, flags: AtFlags) -> Result<Stat> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    match rustix::fs::statx(dir, name, flags | AtFlags::NO_AUTOMOUNT, mask) {
        Ok(raw) => Ok(Stat::from(&raw)),
        Err(errno) => Err(Error::new("statx", name, errno)),
    }
}
