//! The monitor's loop: one call after the other.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sys::notify::{Answer, Listener, Notification, read_memory, write_memory};

use super::adopt::{adopt, adopt_later};
use super::chown::Recorder;
use super::credentials::{Ids, KEEP, Kind, MAX_GROUPS};
use super::owner::Owner;
use super::process::Processes;
use super::target::{self, Named};
use crate::snapshot::{FS, MERGED};

/// What the monitor's process exits with when all went well.
const FINE: u8 = 0;
/// What it exits with when owners could not be recorded.
const FAILED: u8 = 1;

/// Answers the calls of a container's processes until the last one has ended; the exit code of the process that does.
///
/// `listener` is what [`sys::notify::install`] gave for [`super::filter`], `first` the container's first process, and
/// `table` the table of owners beside its tree ([`crate::snapshot::ActiveSnapshot::owners`]). To be called in a process of
/// its own, in the user namespace of [`crate::ladder::Rung::SingleId`]. `groups` are those that its user is in.
pub fn monitor(listener: OwnedFd, first: u32, table: PathBuf, groups: Vec<u32>) -> u8 {
    watch(listener, first, &table, groups, true)
}

/// The same for a process that joined a container: what is new there is not its alone.
pub(crate) fn monitor_guest(listener: OwnedFd, first: u32, table: &Path, groups: Vec<u32>) -> u8 {
    watch(listener, first, table, groups, false)
}

fn watch(listener: OwnedFd, first: u32, table: &Path, groups: Vec<u32>, adopts: bool) -> u8 {
    let user = mapped_user(first);
    let changed = changed_beside(table);
    let listener = Listener::new(listener);
    let recorder = match Recorder::new(&changed) {
        Ok(recorder) => recorder,
        // Nobody may be left waiting: closing the listener fails all calls with ENOSYS.
        Err(_) => return FAILED,
    };
    let mut monitor = Monitor { listener, processes: Processes::new(groups), recorder, native: user != Owner::ROOT };
    let served = monitor.serve();
    let recorded = monitor.recorder.finish().and_then(|()| match table.parent() {
        _ if user == Owner::ROOT || !adopts => Ok(()),
        Some(folder) if changed.file_name().is_some_and(|name| name == MERGED) => adopt_later(folder, user),
        _ => adopt(&changed, user),
    });
    if served.and(recorded).is_ok() { FINE } else { FAILED }
}

/// The tree in which changes show: an overlay's upper directory, or a copied tree.
fn changed_beside(table: &Path) -> PathBuf {
    let merged = table.with_file_name(MERGED);
    if merged.is_dir() { merged } else { table.with_file_name(FS) }
}

/// Who the one id is inside: another than root where the container has a user of its own.
fn mapped_user(process: u32) -> Owner {
    let id = |file: &str| {
        let map = fs::read_to_string(Path::new("/proc").join(process.to_string()).join(file)).ok()?;
        map.split_whitespace().next()?.parse().ok()
    };
    Owner { uid: id("uid_map").unwrap_or_default(), gid: id("gid_map").unwrap_or_default() }
}

struct Monitor {
    listener: Listener,
    processes: Processes,
    recorder: Recorder,
    /// Whether the kernel shall answer all by itself: the container's user is natively who it is.
    native: bool,
}

impl Monitor {
    fn serve(&mut self) -> sys::Result<()> {
        while let Some(call) = self.listener.receive()? {
            let answer = if self.native || call.pid == 0 {
                Answer::Continue
            } else {
                self.handle(&call).unwrap_or_else(Answer::Error)
            };
            self.listener.answer(call.id, answer)?;
        }
        Ok(())
    }

    fn handle(&mut self, call: &Notification) -> Result<Answer, Errno> {
        let [a, b, c, d, e, _] = call.arguments;
        // Descriptors, flags and ids are 32 bits wide; what stands above them isn't looked at, as in the kernel.
        let (low, number) = (|value: u64| value as u32, |value: u64| value as u32 as i32);
        match libc::c_long::from(call.call) {
            libc::SYS_getuid => self.tell(call, Kind::User, |ids| ids.real),
            libc::SYS_geteuid => self.tell(call, Kind::User, |ids| ids.effective),
            libc::SYS_getgid => self.tell(call, Kind::Group, |ids| ids.real),
            libc::SYS_getegid => self.tell(call, Kind::Group, |ids| ids.effective),
            libc::SYS_getresuid => self.tell_three(call, Kind::User),
            libc::SYS_getresgid => self.tell_three(call, Kind::Group),
            libc::SYS_getgroups => self.tell_groups(call, number(a), b),
            libc::SYS_setuid => self.change(call, |who| who.set(Kind::User, low(a))),
            libc::SYS_setgid => self.change(call, |who| who.set(Kind::Group, low(a))),
            libc::SYS_setreuid => self.change(call, |who| who.set_real_effective(Kind::User, low(a), low(b))),
            libc::SYS_setregid => self.change(call, |who| who.set_real_effective(Kind::Group, low(a), low(b))),
            libc::SYS_setresuid => self.change(call, |who| who.set_three(Kind::User, [low(a), low(b), low(c)])),
            libc::SYS_setresgid => self.change(call, |who| who.set_three(Kind::Group, [low(a), low(b), low(c)])),
            libc::SYS_setfsuid => self.change_fs(call, Kind::User, low(a)),
            libc::SYS_setfsgid => self.change_fs(call, Kind::Group, low(a)),
            libc::SYS_setgroups => self.set_groups(call, number(a), b),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown => self.chown(call, path(libc::AT_FDCWD, a, 0)?, (low(b), low(c))),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_lchown => self.chown(call, path(libc::AT_FDCWD, a, libc::AT_SYMLINK_NOFOLLOW)?, (low(b), low(c))),
            libc::SYS_fchown => self.chown(call, Named::Descriptor(number(a)), (low(b), low(c))),
            libc::SYS_fchownat => self.chown(call, path(number(a), b, number(e))?, (low(c), low(d))),
            libc::SYS_prctl => self.keep_capabilities(call, b == 1),
            libc::SYS_fstat => self.tell_owner(call, None, b, Told::Stat),
            libc::SYS_newfstatat => self.tell_owner(call, Some(b), c, Told::Stat),
            libc::SYS_statx => self.tell_owner(call, Some(b), e, Told::Statx(low(d))),
            _ => Ok(Answer::Continue),
        }
    }

    /// What was read of the caller was the caller's, if it still waits.
    fn check(&self, call: &Notification) -> Result<(), Errno> {
        if self.listener.is_valid(call.id) { Ok(()) } else { Err(Errno::SRCH) }
    }

    fn tell(&mut self, call: &Notification, kind: Kind, which: fn(&Ids) -> u32) -> Result<Answer, Errno> {
        let id = which(self.processes.credentials(call.pid)?.ids(kind));
        Ok(Answer::Value(i64::from(id)))
    }

    fn tell_three(&mut self, call: &Notification, kind: Kind) -> Result<Answer, Errno> {
        let ids = *self.processes.credentials(call.pid)?.ids(kind);
        self.check(call)?;
        for (address, id) in call.arguments.into_iter().zip([ids.real, ids.effective, ids.saved]) {
            write_memory(call.pid, address, &id.to_ne_bytes()).map_err(|_| Errno::FAULT)?;
        }
        Ok(Answer::Value(0))
    }

    fn tell_groups(&mut self, call: &Notification, size: i32, address: u64) -> Result<Answer, Errno> {
        let size = usize::try_from(size).map_err(|_| Errno::INVAL)?;
        let groups = self.processes.credentials(call.pid)?.groups.clone();
        let count = i64::try_from(groups.len()).map_err(|_| Errno::INVAL)?;
        if size == 0 {
            return Ok(Answer::Value(count));
        }
        if size < groups.len() {
            return Err(Errno::INVAL);
        }
        self.check(call)?;
        let bytes: Vec<u8> = groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
        if !bytes.is_empty() {
            write_memory(call.pid, address, &bytes).map_err(|_| Errno::FAULT)?;
        }
        Ok(Answer::Value(count))
    }

    fn change(
        &mut self,
        call: &Notification,
        change: impl FnOnce(&mut super::credentials::Credentials) -> Result<(), Errno>,
    ) -> Result<Answer, Errno> {
        self.processes.change(call.pid, change)?;
        Ok(Answer::Value(0))
    }

    fn change_fs(&mut self, call: &Notification, kind: Kind, id: u32) -> Result<Answer, Errno> {
        let before = self.processes.change(call.pid, |who| Ok(who.set_fs(kind, id)))?;
        Ok(Answer::Value(i64::from(before)))
    }

    /// PR_SET_KEEPCAPS, which the kernel does as well.
    fn keep_capabilities(&mut self, call: &Notification, keep: bool) -> Result<Answer, Errno> {
        self.change(call, |who| {
            who.keeps_capabilities = keep;
            Ok(())
        })?;
        Ok(Answer::Continue)
    }

    fn set_groups(&mut self, call: &Notification, size: i32, address: u64) -> Result<Answer, Errno> {
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_GROUPS).ok_or(Errno::INVAL)?;
        let mut bytes = vec![0; size * size_of::<u32>()];
        if size > 0 {
            read_memory(call.pid, address, &mut bytes).map_err(|_| Errno::FAULT)?;
        }
        self.check(call)?;
        let groups = bytes.chunks_exact(4).filter_map(|id| id.try_into().ok()).map(u32::from_ne_bytes).collect();
        self.change(call, |who| who.set_groups(groups))
    }

    /// Tells the recorded owner of an open file, if it has one; the kernel tells everything else.
    fn tell_owner(
        &mut self,
        call: &Notification,
        path: Option<u64>,
        address: u64,
        told: Told,
    ) -> Result<Answer, Errno> {
        let number = call.arguments[0] as u32 as i32;
        let Some(owner) = target::recorded_owner(call.pid, number) else { return Ok(Answer::Continue) };
        // Only an empty path means the descriptor itself.
        let mut first = [1];
        if path.is_some_and(|path| path != 0 && (read_memory(call.pid, path, &mut first).is_err() || first != [0])) {
            return Ok(Answer::Continue);
        }
        let fd = target::open(call, Named::Descriptor(number))?;
        let bytes = match told {
            Told::Stat => sys::stat::bytes_for_fstat(&fd, owner.uid, owner.gid),
            Told::Statx(mask) => sys::stat::bytes_for_statx(&fd, mask, owner.uid, owner.gid),
        };
        let bytes = bytes.map_err(|error| error.errno())?;
        self.check(call)?;
        write_memory(call.pid, address, &bytes).map_err(|_| Errno::FAULT)?;
        Ok(Answer::Value(0))
    }

    fn chown(&mut self, call: &Notification, named: Named, to: (u32, u32)) -> Result<Answer, Errno> {
        let fd = target::open(call, named)?;
        self.recorder.meet(call.pid);
        self.check(call)?;
        let caller = self.processes.credentials(call.pid)?;
        if to != (KEEP, KEEP) {
            self.recorder.chown(&fd, to, caller)?;
        }
        Ok(Answer::Value(0))
    }
}

/// The struct that a caller wants to be told in.
#[derive(Debug, Clone, Copy)]
enum Told {
    Stat,
    /// With this mask.
    Statx(u32),
}

/// A path as fchownat takes it.
fn path(from: i32, path: u64, flags: i32) -> Result<Named, Errno> {
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    let (follow, empty) = (flags & libc::AT_SYMLINK_NOFOLLOW == 0, flags & libc::AT_EMPTY_PATH != 0);
    Ok(Named::Path { from, path, follow, empty })
}
