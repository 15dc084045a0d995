//! Who each process in the container is.
//!
//! Nobody tells the monitor of a fork. A process that is met for the first time has what its parent had when it
//! started; where the parent is gone, what the leader of its group or session had. Start times have the kernel's
//! resolution of 10 ms; within it, the parent's latest change counts.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;

use super::credentials::Credentials;
use super::owner::{Owner, XATTR};

/// How many processes to remember before looking for those that have ended.
const REMEMBERED: usize = 8192;
/// No chain of parents in a container is as long.
const ANCESTORS: usize = 64;
const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;

/// In hundredths of a second since boot, as `/proc/<pid>/stat` has it.
type Ticks = u64;

/// The processes met.
#[derive(Debug)]
pub(super) struct Processes {
    /// The container's first process, which gets the orphans.
    first: u32,
    known: HashMap<u32, Process>,
    /// Threads that aren't their process' first, with when they started.
    threads: HashMap<u32, (Ticks, u32)>,
    limit: usize,
}

#[derive(Debug)]
struct Process {
    started: Ticks,
    /// What it was from when on; the last is what it is.
    history: Vec<(Ticks, Credentials)>,
    /// The file it executes, as last seen.
    program: Option<(u64, u64)>,
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Status {
    parent: u32,
    group: u32,
    session: u32,
    started: Ticks,
}

impl Processes {
    /// With the container's first process, which is root.
    pub(super) fn new(first: u32) -> Self {
        Self { first, known: HashMap::new(), threads: HashMap::new(), limit: REMEMBERED }
    }

    /// Who the process of a thread is. ESRCH where it has ended.
    pub(super) fn credentials(&mut self, thread: u32) -> Result<&Credentials, Errno> {
        let pid = self.process_of(thread)?;
        self.follow_execution(pid);
        self.known.get(&pid).and_then(Process::now).ok_or(Errno::SRCH)
    }

    /// Changes who the process of a thread is.
    pub(super) fn change<T>(
        &mut self,
        thread: u32,
        change: impl FnOnce(&mut Credentials) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut credentials = self.credentials(thread)?.clone();
        let before = credentials.clone();
        let result = change(&mut credentials)?;
        if credentials != before {
            let pid = self.process_of(thread)?;
            if let Some(process) = self.known.get_mut(&pid) {
                process.history.push((now(), credentials));
                process.program = process.program.or_else(|| program_of(pid));
            }
        }
        Ok(result)
    }

    /// The process of a thread, known from now on.
    fn process_of(&mut self, thread: u32) -> Result<u32, Errno> {
        let status = status(thread).ok_or(Errno::SRCH)?;
        if let Some(process) = self.known.get(&thread)
            && process.started == status.started
        {
            return Ok(thread);
        }
        let pid = match self.threads.get(&thread) {
            Some((started, pid)) if *started == status.started => *pid,
            _ => thread_group(thread).ok_or(Errno::SRCH)?,
        };
        if pid != thread {
            self.threads.insert(thread, (status.started, pid));
        }
        self.meet(pid, 0)?;
        Ok(pid)
    }

    /// Makes `pid` known, and first those it has its credentials from.
    fn meet(&mut self, pid: u32, depth: usize) -> Result<(), Errno> {
        let status = status(pid).ok_or(Errno::SRCH)?;
        if self.known.get(&pid).is_some_and(|process| process.started == status.started) {
            return Ok(());
        }
        let (credentials, program) = if pid == self.first || depth > ANCESTORS {
            (Credentials::root(), None)
        } else {
            self.inherited(&status, depth)
        };
        self.forget_the_dead();
        let history = vec![(status.started, credentials)];
        self.known.insert(pid, Process { started: status.started, history, program });
        Ok(())
    }

    fn inherited(&mut self, status: &Status, depth: usize) -> (Credentials, Option<(u64, u64)>) {
        // An orphan's parent is the first process; but it still is in the group and session it came from.
        let orphan = [status.group, status.session, status.parent];
        let usual = [status.parent, status.group, status.session];
        let sources = if status.parent == self.first { orphan } else { usual };
        for source in sources {
            // Zero: not visible from here. An ended leader can't be met, but may be known.
            let met = source != 0 && (self.meet(source, depth + 1).is_ok() || self.known.contains_key(&source));
            if let Some(process) = self.known.get(&source).filter(|_| met)
                && let Some(credentials) = process.at(status.started)
            {
                return (credentials.clone(), process.program);
            }
        }
        (Credentials::root(), None)
    }

    /// Sees whether a process that isn't root has executed another file since.
    fn follow_execution(&mut self, pid: u32) {
        let Some(process) = self.known.get_mut(&pid) else { return };
        if process.now().is_none_or(Credentials::is_plain_root) {
            return;
        }
        let Some(program) = program_of(pid) else { return };
        let before = process.program.replace(program);
        if before.is_some_and(|before| before != program)
            && let Some(mut credentials) = process.now().cloned()
        {
            let (user, group) = set_ids_of(pid);
            credentials.execute(user, group);
            process.history.push((now(), credentials));
        }
    }

    fn forget_the_dead(&mut self) {
        if self.known.len() < self.limit {
            return;
        }
        self.known.retain(|pid, process| status(*pid).is_some_and(|status| status.started == process.started));
        self.threads.retain(|thread, (started, _)| status(*thread).is_some_and(|status| status.started == *started));
        self.limit = REMEMBERED.max(self.known.len() * 2);
    }
}

impl Process {
    fn now(&self) -> Option<&Credentials> {
        self.history.last().map(|(_, credentials)| credentials)
    }

    /// What it was at a time; `None` before its start.
    fn at(&self, time: Ticks) -> Option<&Credentials> {
        self.history.iter().rev().find(|(since, _)| *since <= time).map(|(_, credentials)| credentials)
    }
}

fn status(pid: u32) -> Option<Status> {
    parse_status(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in the second field may hold anything, but its closing bracket is the last one.
fn parse_status(text: &str) -> Option<Status> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    let id = |index: usize| number(index).and_then(|number| u32::try_from(number).ok());
    Some(Status { parent: id(1)?, group: id(2)?, session: id(3)?, started: number(19)? })
}

fn thread_group(thread: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

fn program_of(pid: u32) -> Option<(u64, u64)> {
    let file = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((file.dev(), file.ino()))
}

/// The owners that executing the file of `pid` gives the effective ids of.
fn set_ids_of(pid: u32) -> (Option<u32>, Option<u32>) {
    let path = format!("/proc/{pid}/exe");
    let Ok(file) = fs::metadata(&path) else { return (None, None) };
    let mut value = [0; 32];
    let recorded =
        rustix::fs::getxattr(&path, XATTR, &mut value).ok().and_then(|length| Owner::decode(&value[..length]));
    let owner = recorded.unwrap_or(Owner::ROOT);
    let user = (file.mode() & SET_USER != 0).then_some(owner.uid);
    (user, (file.mode() & SET_GROUP != 0).then_some(owner.gid))
}

/// Now, in the same measure as start times. At the end of time where `/proc` fails: a change that counts for no child.
fn now() -> Ticks {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let ticks = uptime.split(' ').next().and_then(|seconds| seconds.replace('.', "").parse().ok());
    ticks.unwrap_or(Ticks::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::credentials::Kind;
    use super::*;

    #[test]
    fn reads_a_name_that_looks_like_fields() {
        let text = "42 (a) S 1 2) R 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 1";
        let status = parse_status(text).unwrap();
        assert_eq!(status, Status { parent: 7, group: 8, session: 9, started: 123_456 });
        assert_eq!(parse_status("42 (a"), None);
    }

    #[test]
    fn a_child_has_what_its_parent_had_when_it_started() {
        let mut dropped = Credentials::root();
        dropped.set(Kind::User, 33).unwrap();
        let history = vec![(100, Credentials::root()), (200, dropped.clone())];
        let parent = Process { started: 100, history, program: None };
        assert_eq!(parent.at(99), None);
        assert_eq!(parent.at(150), Some(&Credentials::root()));
        assert_eq!(parent.at(200), Some(&dropped));
    }

    #[test]
    fn own_threads_are_one_process() {
        let own = std::process::id();
        let mut processes = Processes::new(own);
        processes.change(own, |credentials| credentials.set(Kind::User, 7)).unwrap();
        let thread = std::thread::spawn(|| rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
        // The thread that runs this test isn't the process' first one either.
        let this = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        assert_eq!(processes.credentials(this).unwrap().user.effective, 7);
        assert_eq!(processes.credentials(thread.join().unwrap() + 4_000_000).unwrap_err(), Errno::SRCH);
    }
}
