//! The processes of a container, as the machine sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::State;
use crate::state::ProcessId;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Process {
    /// Its number, as the host's processes see it.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its owner, as the host sees it.
    pub uid: u32,
    /// Ticks of processor time, its own and the kernel's for it.
    pub ticks: u64,
    /// When it started, in ticks since the boot.
    pub start: u64,
    /// The number of its terminal; 0 where it has none.
    pub terminal: u32,
    /// Its program and arguments; in brackets, where it has none, its name.
    pub command: String,
}

/// Numbers of the fields of `/proc/<pid>/stat` behind the name, from the state on.
const PARENT: usize = 1;
const TERMINAL: usize = 4;
const USER_TICKS: usize = 11;
const KERNEL_TICKS: usize = 12;
const START: usize = 19;

/// The longest command that is read.
const MAX_COMMAND: usize = 64 << 10;

/// All processes of a running container, by number. Those that end meanwhile are left out.
pub fn of(state: &State) -> Vec<Process> {
    state.init.map(below).unwrap_or_default()
}

/// The same, by the container's first process.
pub(crate) fn below(init: ProcessId) -> Vec<Process> {
    let all = numbers();
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    // Where the container has none of its own, its processes are the descendants of its first.
    let own = namespace(init.pid).filter(|own| fs::read_link("/proc/self/ns/pid").ok().as_ref() != Some(own));
    let mut processes: BTreeMap<i32, Process> = all.iter().filter_map(|pid| Some((*pid, read(*pid)?))).collect();
    let mut inside: BTreeSet<i32> = BTreeSet::from([init.pid]);
    if own.is_some() {
        inside.extend(all.iter().filter(|pid| namespace(**pid) == own));
    }
    // Namespaces below, and processes that may not be looked into, are found by their parents.
    loop {
        let more: Vec<i32> = processes
            .values()
            .filter(|process| inside.contains(&process.parent) && !inside.contains(&process.pid))
            .map(|process| process.pid)
            .collect();
        if more.is_empty() {
            break;
        }
        inside.extend(more);
    }
    processes.retain(|pid, _| inside.contains(pid));
    processes.into_values().collect()
}

fn numbers() -> Vec<i32> {
    let Ok(listing) = fs::read_dir("/proc") else { return Vec::new() };
    listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn read(pid: i32) -> Option<Process> {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;
    let folder = format!("/proc/{pid}");
    let stat = fs::read(format!("{folder}/stat")).ok()?;
    let mut process = parse(pid, &String::from_utf8_lossy(&stat))?;
    process.uid = fs::metadata(&folder).ok()?.uid();
    // The owner of the folder is root's where it may not be looked into.
    if let Some(uid) = fs::read_to_string(format!("{folder}/status")).ok().as_deref().and_then(owner) {
        process.uid = uid;
    }
    let mut line = Vec::new();
    if let Ok(file) = fs::File::open(format!("{folder}/cmdline")) {
        // What is cut is not shown.
        drop(file.take(MAX_COMMAND as u64).read_to_end(&mut line));
    }
    while line.last() == Some(&0) {
        line.pop();
    }
    if !line.is_empty() {
        line.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        process.command = String::from_utf8_lossy(&line).into_owned();
    }
    Some(process)
}

/// The effective user id of a `status`.
fn owner(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The name stands in brackets and may hold any.
fn parse(pid: i32, stat: &str) -> Option<Process> {
    let (front, rest) = stat.rsplit_once(") ")?;
    let name = front.split_once(" (")?.1;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Process {
        pid,
        parent: fields.get(PARENT)?.parse().ok()?,
        ticks: number(USER_TICKS)? + number(KERNEL_TICKS)?,
        start: number(START)?,
        terminal: fields.get(TERMINAL)?.parse::<i64>().ok()? as u32,
        command: format!("[{name}]"),
        uid: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ProcessId;

    #[test]
    fn a_name_cannot_lie() {
        let stat = "7 (a) S 1) R 5 7 7 34816 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 4242 1 1";
        let process = parse(7, stat).unwrap();
        assert_eq!((process.parent, process.ticks, process.start, process.terminal), (5, 42, 4242, 34816));
        assert_eq!(process.command, "[a) S 1]");
        assert_eq!(parse(7, "7 (a"), None);
    }

    #[test]
    fn children_are_among_them() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let own = std::process::id().cast_signed();
        let init = Some(ProcessId { pid: own, start: 0 });
        let all = of(&State { init, ..State::default() });
        let found = all.iter().find(|process| process.pid == child.id().cast_signed()).unwrap();
        assert_eq!((found.command.as_str(), found.parent), ("sleep 60", own));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
