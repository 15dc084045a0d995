//! How much is too much, and when to look again.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::measure::{Measured, Store};

/// Faster than anybody writes; so soon it could have written what it may still write.
const RATE: u64 = 4 << 30;
/// The same of files, which are slower to make.
const FILES_RATE: u64 = 200_000;
/// The shortest pause between two looks: what is written in it, and while its files are measured, is what it may write too much.
const OFTEN: Duration = Duration::from_millis(25);
/// The shortest while nobody writes.
const IDLE: Duration = Duration::from_millis(100);
/// The longest, where a size bounds the container or the store.
const SELDOM: Duration = Duration::from_millis(250);
/// The longest, where only the disk's end does.
const RARELY: Duration = Duration::from_secs(10);
/// So much of the disk is kept from containers, where the disk is large: a hundredth of it.
const RESERVE: u64 = 256 << 20;
const RESERVE_SHARE: u64 = 100;
/// The same of files.
const FILES_RESERVE: u64 = 1000;
/// And where it is small: an eighth.
const SMALL_SHARE: u64 = 8;
/// So many bytes, and files, are worth a measurement.
pub(super) const STEP: u64 = 1 << 20;
pub(super) const FILES_STEP: u64 = 100;
/// Who grew by less than this share of the reserve since the disk was nearly full did not fill it: a log, a small record. More than
/// [`MOST_SPARED`] and [`MOST_FILES_SPARED`] never is.
const SPARED_SHARE: u64 = 8;
const MOST_SPARED: u64 = 32 << 20;
const MOST_FILES_SPARED: u64 = 4096;

/// What a file system has left for ordinary users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Free {
    pub(super) bytes: u64,
    /// Bytes that it has in all.
    size: u64,
    pub(super) files: u64,
    /// Files that it can have in all; 0 where it does not count them.
    most_files: u64,
}

/// What a container may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bounds {
    /// Of its own tree, in bytes.
    pub(super) size: Option<u64>,
    /// Whether the store has a limit.
    pub(super) store: bool,
}

/// An amount on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Amount {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

/// A store that is over its limit, as it was first seen so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Full {
    /// What the container took before, in bytes.
    pub(super) before: u64,
    /// By how much it was over, in bytes.
    pub(super) over: u64,
}

impl Free {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(path).ok()?;
        Some(Self {
            bytes: stat.f_bavail * stat.f_frsize,
            size: stat.f_blocks * stat.f_frsize,
            files: stat.f_favail,
            most_files: stat.f_files,
        })
    }

    fn reserve(&self) -> u64 {
        (self.size / RESERVE_SHARE).max(RESERVE).min(self.size / SMALL_SHARE)
    }

    fn files_reserve(&self) -> u64 {
        (self.most_files / RESERVE_SHARE).max(FILES_RESERVE).min(self.most_files / SMALL_SHARE)
    }

    /// Whether containers that go on writing will have to be stopped soon.
    pub(super) fn is_low(&self) -> bool {
        self.bytes < 2 * self.reserve() || self.files < 2 * self.files_reserve()
    }

    /// How long until it could be low; once it is, until a quarter of the rest could be gone.
    fn far(&self) -> Duration {
        let (bytes, files) = match self.is_low() {
            true => (self.bytes / 4, self.files / 4),
            false => (self.bytes - 2 * self.reserve(), self.files - 2 * self.files_reserve()),
        };
        let bytes = bytes / (RATE / 1000);
        Duration::from_millis(if self.most_files > 0 { bytes.min(files / (FILES_RATE / 1000)) } else { bytes })
    }
}

impl Bounds {
    pub(super) fn is_any(&self) -> bool {
        self.size.is_some() || self.store
    }

    /// What it may still write before one of them could be reached, whoever writes it.
    pub(super) fn headroom(&self, measured: &Measured) -> u64 {
        let store = match measured.store {
            Store::Left(left) => left,
            Store::Full { .. } => 0,
            Store::Unlimited | Store::Asked => u64::MAX,
        };
        self.own_room(measured).min(store)
    }

    /// The same of its own size.
    fn own_room(&self, measured: &Measured) -> u64 {
        self.size.map_or(u64::MAX, |size| size.saturating_sub(measured.own))
    }

    /// Whether one of them may be passed by now, so many bytes after it was measured. Where the store has nothing left that is no
    /// news: others write, too.
    pub(super) fn may_be_passed(&self, measured: &Measured, went: u64) -> bool {
        let store = if let Store::Left(left @ 1..) = measured.store { left } else { u64::MAX };
        went >= self.own_room(measured).min(store).max(STEP)
    }

    /// How long until the next look. `headroom` is [`Bounds::headroom`], less what was written since; `calm`: nothing was since the
    /// last look.
    pub(super) fn pause(&self, free: &Free, headroom: Option<u64>, calm: bool) -> Duration {
        let longest = if self.is_any() { SELDOM } else { RARELY };
        let reach = headroom.map_or(longest, |bytes| Duration::from_millis(bytes / (RATE / 1000)));
        free.far().min(reach).clamp(if calm { IDLE } else { OFTEN }, longest)
    }

    /// The first pause, while nothing is known of what the container takes.
    pub(super) fn first_pause(&self, free: &Free) -> Duration {
        if self.is_any() { OFTEN } else { self.pause(free, None, false) }
    }

    /// Why the container is to be stopped, for its own tree.
    pub(super) fn judge(&self, measured: &Measured) -> Option<String> {
        if self.is_any() && measured.deep > 0 {
            return Some(too_deep(measured.deep));
        }
        self.size.filter(|size| measured.own > *size).map(|size| too_large(measured.own, size))
    }
}

impl Full {
    /// Whether the container is who filled it, or goes on as if it were not full: it took more than the store is over, as it was first
    /// seen or as it is by now. What somebody else left there is not its doing.
    pub(super) fn is_by(&self, measured: &Measured, over: u64) -> bool {
        let grown = measured.all.saturating_sub(self.before);
        grown >= STEP && grown >= self.over.min(over)
    }
}

/// What is said of a container whose files cannot be counted: they could be any number.
pub(super) fn too_deep(deep: u64) -> String {
    format!("disk limit: {deep} of its directories lie too deep to be measured (more than {} levels)", store::MAX_DEPTH)
}

/// What is said of a container that is larger than it may be.
pub(super) fn too_large(own: u64, size: u64) -> String {
    format!("disk limit: its files take {own} bytes, and may take {size} (--storage-opt size)")
}

/// Why a container is to be stopped that has grown since the disk was nearly full: once it took more than it left. One that grew by
/// little is not: what another wrote stays until it is removed, and the disk full.
pub(super) fn judge_growth(before: Amount, measured: &Measured, free: &Free) -> Option<String> {
    let bytes = measured.all.saturating_sub(before.bytes);
    let files = measured.files.saturating_sub(before.files);
    if measured.deep > 0 {
        return Some(too_deep(measured.deep));
    }
    if bytes >= (free.reserve() / SPARED_SHARE).clamp(STEP, MOST_SPARED) && bytes > free.bytes {
        let left = free.bytes;
        return Some(format!("disk full: it wrote {bytes} bytes where {left} are left in the store's file system"));
    }
    let spared = (free.files_reserve() / SPARED_SHARE).clamp(FILES_STEP, MOST_FILES_SPARED);
    if free.most_files > 0 && files >= spared && files > free.files {
        let left = free.files;
        return Some(format!("disk full: it made {files} files where {left} more can be in the store's file system"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn free(bytes: u64, size: u64) -> Free {
        Free { bytes, size, files: 1 << 24, most_files: 1 << 24 }
    }

    fn measured(own: u64, all: u64) -> Measured {
        Measured { own, all, ..Measured::default() }
    }

    #[test]
    fn a_disk_is_low_where_the_reserve_is_near() {
        for (bytes, size, low) in [
            (100 * GIB, 1000 * GIB, false),
            (19 * GIB, 1000 * GIB, true),
            (600 << 20, 10 * GIB, false),
            (500 << 20, 10 * GIB, true),
            (20 << 20, 64 << 20, false),
            (15 << 20, 64 << 20, true),
        ] {
            assert_eq!(free(bytes, size).is_low(), low, "{bytes} of {size}");
        }
        assert!(Free { files: 10, ..free(GIB, GIB) }.is_low());
        assert!(!Free { files: 0, most_files: 0, ..free(GIB, GIB) }.is_low(), "where files are not counted");
    }

    #[test]
    fn looks_are_rare_where_there_is_much_room() {
        let bounded = Bounds { size: Some(GIB), store: false };
        assert_eq!(Bounds::default().pause(&free(500 * GIB, 1000 * GIB), None, false), RARELY);
        assert_eq!(Bounds::default().pause(&free(24 * GIB, 1000 * GIB), None, false), Duration::from_secs(1));
        assert_eq!(Bounds::default().pause(&free(GIB, 1000 * GIB), None, false), Duration::from_millis(62));
        assert_eq!(bounded.pause(&free(500 * GIB, 1000 * GIB), Some(100 * GIB), false), SELDOM);
        assert_eq!(bounded.pause(&free(500 * GIB, 1000 * GIB), Some(GIB / 10), false), OFTEN);
        assert_eq!(bounded.pause(&free(500 * GIB, 1000 * GIB), Some(GIB / 10), true), IDLE);
        assert_eq!(bounded.first_pause(&free(500 * GIB, 1000 * GIB)), OFTEN);
        let few = Free { files: 2_100_000, most_files: 100_000_000, ..free(500 * GIB, 1000 * GIB) };
        assert_eq!(Bounds::default().pause(&few, None, false), Duration::from_millis(500), "files go, too");
        let uncounted = Free { files: 0, most_files: 0, ..few };
        assert_eq!(Bounds::default().pause(&uncounted, None, false), RARELY);
    }

    #[test]
    fn who_grows_is_stopped_and_nobody_else() {
        let bounds = Bounds { size: Some(100), store: true };
        assert_eq!(bounds.judge(&measured(100, 500)), None);
        assert!(bounds.judge(&measured(101, 500)).unwrap().contains("may take 100"));
        let deep = Measured { deep: 1, ..measured(1, 1) };
        assert!(bounds.judge(&deep).unwrap().contains("too deep"));
        assert_eq!(Bounds::default().judge(&deep), None, "nothing is bounded");
        assert_eq!(bounds.headroom(&Measured { store: Store::Left(7), ..measured(50, 50) }), 7);
        let before = Amount { bytes: 50 * GIB, files: 9 };
        assert_eq!(judge_growth(before, &measured(0, 50 * GIB), &free(0, 100 * GIB)), None);
        assert_eq!(judge_growth(before, &measured(0, 51 * GIB), &free(2 * GIB, 100 * GIB)), None);
        assert!(judge_growth(before, &measured(0, 53 * GIB), &free(2 * GIB, 100 * GIB)).is_some());
        let many = Measured { files: 5000, ..measured(0, 0) };
        assert!(judge_growth(before, &many, &Free { files: 10, ..free(GIB, GIB) }).unwrap().contains("4991 files"));
        let logs = measured(0, 50 * GIB + (20 << 20));
        assert_eq!(judge_growth(before, &logs, &free(0, 100 * GIB)), None, "another filled it");
    }

    #[test]
    fn who_fills_the_store_is_told_from_who_is_there() {
        let first = Full { before: 10 * STEP, over: 8 * STEP };
        for (all, over, by) in [
            (10 * STEP, 8 * STEP, false),
            (12 * STEP, 8 * STEP, false),
            (12 * STEP, STEP, true),
            (18 * STEP, 8 * STEP, true),
            // Two who fill it together, each by less than it is over.
            (19 * STEP, 40 * STEP, true),
            (10 * STEP + 5, 5, false),
        ] {
            assert_eq!(first.is_by(&measured(0, all), over), by, "{all} {over}");
        }
        let bounds = Bounds { size: None, store: true };
        let with = |store| Measured { store, ..measured(0, 0) };
        assert!(bounds.may_be_passed(&with(Store::Left(5 * STEP)), 5 * STEP));
        assert!(!bounds.may_be_passed(&with(Store::Left(5 * STEP)), 4 * STEP));
        assert!(!bounds.may_be_passed(&with(Store::Left(0)), 4 * STEP));
    }
}
