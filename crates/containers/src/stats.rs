//! What running containers use, from their control groups; from their processes where they have none.

use std::fs;
use std::time::{Duration, Instant};

use runtime::cgroup::Group;

use crate::state::{ProcessId, State};

/// What a container uses at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// When that was.
    pub at: Instant,
    /// Processor time since its start.
    pub cpu: Duration,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes that it may have: its limit, or what the machine has.
    pub memory_limit: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes read from disks.
    pub read: u64,
    /// Bytes written to them.
    pub written: u64,
    /// Bytes that came over its network.
    pub received: u64,
    /// Bytes that went.
    pub sent: u64,
}

impl Stats {
    /// What the container of this state uses now; `None` where it does not run.
    pub fn of(state: &State) -> Option<Self> {
        let init = state.init.filter(|init| init.lives())?;
        let sample = Group::at(state.groups.clone()).sample().unwrap_or_default();
        let is_whole = sample.memory.is_some() && sample.pids.is_some() && !sample.cpu.is_zero();
        // All processes are looked at only where the kernel does not count for us.
        let counted = if is_whole { Counted::default() } else { Counted::of(init, &processes()) };
        let total = total_memory();
        let (received, sent) = traffic(&fs::read_to_string(format!("/proc/{}/net/dev", init.pid)).unwrap_or_default());
        Some(Self {
            at: Instant::now(),
            cpu: if sample.cpu.is_zero() { counted.cpu } else { sample.cpu },
            memory: sample.memory.unwrap_or(counted.memory),
            memory_limit: sample.memory_limit.map_or(total, |limit| limit.min(total)),
            pids: sample.pids.unwrap_or(counted.threads),
            read: sample.read,
            written: sample.written,
            received,
            sent,
        })
    }

    /// Processor time since an earlier look, in hundredths of one processor's: 200.0 is two processors.
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    pub fn cpu_percent(&self, before: &Self) -> f64 {
        let time = self.at.saturating_duration_since(before.at).as_micros().max(1);
        self.cpu.saturating_sub(before.cpu).as_micros() as f64 * 100.0 / time as f64
    }

    /// Of the memory that it may have.
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 { 0.0 } else { self.memory as f64 * 100.0 / self.memory_limit as f64 }
    }
}

/// A process as `/proc/<pid>/stat` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    /// In ticks, with that of children that were waited for.
    time: u64,
    threads: u64,
    pages: u64,
}

/// Where fields stand after the name: numbers of proc(5), less 3.
const PARENT: usize = 1;
const TIMES: std::ops::Range<usize> = 11..15;
const THREADS: usize = 17;
const PAGES: usize = 21;

impl Process {
    fn parse(pid: i32, stat: &str) -> Option<Self> {
        // The name may hold anything, a parenthesis too.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let number = |at: usize| fields.get(at)?.trim().parse::<u64>().ok();
        Some(Self {
            pid,
            parent: i32::try_from(number(PARENT)?).ok()?,
            time: TIMES.filter_map(number).sum(),
            threads: number(THREADS)?,
            pages: number(PAGES)?,
        })
    }
}

/// All processes that are shown to us.
fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Process::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).collect()
}

/// What processes use together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    cpu: Duration,
    memory: u64,
    threads: u64,
}

impl Counted {
    /// A container's first process and all that descend from it: orphans become its children.
    fn of(init: ProcessId, all: &[Process]) -> Self {
        let mut family = vec![init.pid];
        let mut at = 0;
        while let Some(parent) = family.get(at).copied() {
            family.extend(all.iter().filter(|process| process.parent == parent).map(|process| process.pid));
            at += 1;
            // A cycle there is not; numbers that were given again while we read could look like one.
            if at > all.len() {
                break;
            }
        }
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let page = rustix::param::page_size() as u64;
        let mut counted = Self::default();
        for process in all.iter().filter(|process| family.contains(&process.pid)) {
            counted.cpu += Duration::from_millis(process.time.saturating_mul(1000) / ticks);
            counted.memory = counted.memory.saturating_add(process.pages.saturating_mul(page));
            counted.threads = counted.threads.saturating_add(process.threads);
        }
        counted
    }
}

fn total_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// `  eth0: received 7 more numbers sent …`, added up; loopback is no network.
fn traffic(text: &str) -> (u64, u64) {
    let (mut received, mut sent) = (0u64, 0u64);
    for line in text.lines() {
        let Some((name, numbers)) = line.split_once(':') else { continue };
        let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if let (&[first, ..], Some(&ninth), false) = (numbers.as_slice(), numbers.get(8), name.trim() == "lo") {
            received = received.saturating_add(first);
            sent = sent.saturating_add(ninth);
        }
    }
    (received, sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_counted_together() {
        let process = |pid, parent| Process { pid, parent, time: 100, threads: 2, pages: 1 };
        let all = [process(1, 0), process(10, 1), process(11, 10), process(12, 11), process(20, 1)];
        let counted = Counted::of(ProcessId { pid: 10, start: 0 }, &all);
        assert_eq!(counted.threads, 6);
        assert_eq!(Counted::of(ProcessId { pid: 99, start: 0 }, &all), Counted::default());
    }

    #[test]
    fn what_the_kernel_writes() {
        let stat = "7 (a) b) S 3 7 7 0 -1 4194304 9 0 0 0 5 6 1 2 20 0 4 0 77 1000 33 18446744073709551615 1\n";
        let process = Process { pid: 7, parent: 3, time: 14, threads: 4, pages: 33 };
        assert_eq!(Process::parse(7, stat), Some(process));
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 5 1 0 0 0 0 0 0 7 1 0\n";
        assert_eq!(traffic(dev), (5, 7));
        assert!(total_memory() > 0);
    }

    #[test]
    fn this_process_is_seen_without_a_group() {
        let own = ProcessId::of(std::process::id().cast_signed());
        let stats = Stats::of(&State { init: own, ..State::default() }).unwrap();
        assert!(stats.memory > 0 && stats.pids > 0 && stats.memory_percent() > 0.0, "{stats:?}");
        assert_eq!(Stats::of(&State::default()), None);
        let later =
            Stats { at: stats.at + Duration::from_secs(1), cpu: stats.cpu + Duration::from_millis(500), ..stats };
        assert!((later.cpu_percent(&stats) - 50.0).abs() < 0.1);
    }
}
