//! What a group has used, and uses now.

use std::time::Duration;

use super::group::Group;
use super::settings::Version;

/// A limit of memory of the older version from which on there is none: the kernel rounds its greatest number to pages.
const NO_LIMIT: u64 = 1 << 62;

/// What a group uses. What its controllers do not count is zero, or absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Processor time since it was made.
    pub cpu: Duration,
    /// Of it, time of programs' own.
    pub cpu_user: Duration,
    /// Of it, the kernel's on their behalf.
    pub cpu_system: Duration,
    /// Bytes of memory, without cache that nobody uses, as docker counts it.
    pub memory: Option<u64>,
    /// Bytes at most.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// So many at most.
    pub pids_limit: Option<u64>,
    /// Bytes read from block devices.
    pub read: u64,
    /// Bytes written to them.
    pub written: u64,
}

impl Group {
    /// What it uses now; `None` where there is no group.
    pub fn sample(&self) -> Option<Sample> {
        if self.is_none() || !self.folders().iter().any(|folder| folder.exists()) {
            return None;
        }
        let mut sample = match self.version() {
            Version::Two => self.newer(),
            Version::One => self.older(),
        };
        let number = |name: &str| self.read(name).and_then(|text| text.trim().parse().ok());
        sample.pids = number("pids.current");
        sample.pids_limit = number("pids.max");
        Some(sample)
    }

    fn newer(&self) -> Sample {
        let number = |name: &str| self.read(name).and_then(|text| text.trim().parse().ok());
        let cpu = self.read("cpu.stat").unwrap_or_default();
        let micros = |name| Duration::from_micros(value(&cpu, name).unwrap_or(0));
        let cache = value(&self.read("memory.stat").unwrap_or_default(), "inactive_file").unwrap_or(0);
        let (read, written) = io_stat(&self.read("io.stat").unwrap_or_default());
        Sample {
            cpu: micros("usage_usec"),
            cpu_user: micros("user_usec"),
            cpu_system: micros("system_usec"),
            memory: number("memory.current").map(|bytes: u64| bytes.saturating_sub(cache)),
            memory_limit: number("memory.max"),
            read,
            written,
            ..Sample::default()
        }
    }

    fn older(&self) -> Sample {
        let number = |name: &str| self.read(name).and_then(|text| text.trim().parse::<u64>().ok());
        let times = self.read("cpuacct.stat").unwrap_or_default();
        let ticks = |name| {
            let per_second = rustix::param::clock_ticks_per_second().max(1);
            Duration::from_millis(value(&times, name).unwrap_or(0) * 1000 / per_second)
        };
        let cache = value(&self.read("memory.stat").unwrap_or_default(), "total_inactive_file").unwrap_or(0);
        let (read, written) =
            service_bytes(&self.read("blkio.throttle.io_service_bytes_recursive").unwrap_or_default());
        Sample {
            cpu: Duration::from_nanos(number("cpuacct.usage").unwrap_or(0)),
            cpu_user: ticks("user"),
            cpu_system: ticks("system"),
            memory: number("memory.usage_in_bytes").map(|bytes| bytes.saturating_sub(cache)),
            memory_limit: number("memory.limit_in_bytes").filter(|bytes| *bytes < NO_LIMIT),
            read,
            written,
            ..Sample::default()
        }
    }

    /// How many of its processes the kernel killed because it ran out of its memory.
    pub fn oom_kills(&self) -> u64 {
        let name = match self.version() {
            Version::Two => "memory.events",
            Version::One => "memory.oom_control",
        };
        value(&self.read(name).unwrap_or_default(), "oom_kill").unwrap_or(0)
    }
}

/// The number behind a word at the beginning of a line.
pub(super) fn value(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
}

/// `8:0 rbytes=1 wbytes=2 …`, added up.
fn io_stat(text: &str) -> (u64, u64) {
    let sum = |name: &str| {
        let words = text.split_whitespace().filter_map(|word| word.strip_prefix(name)?.parse::<u64>().ok());
        words.fold(0, u64::saturating_add)
    };
    (sum("rbytes="), sum("wbytes="))
}

/// `8:0 Read 1`, added up; the last line, a total, has two words.
fn service_bytes(text: &str) -> (u64, u64) {
    let sum = |name: &str| {
        let numbers = text.lines().filter_map(|line| match line.split(' ').collect::<Vec<_>>().as_slice() {
            [_, word, number] if *word == name => number.parse::<u64>().ok(),
            _ => None,
        });
        numbers.fold(0, u64::saturating_add)
    };
    (sum("Read"), sum("Write"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_words() {
        let events = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!((value(events, "oom_kill"), value(events, "oom"), value(events, "x")), (Some(2), Some(3), None));
        assert_eq!(io_stat("8:0 rbytes=10 wbytes=2 rios=1\n253:1 rbytes=5 wbytes=0\n"), (15, 2));
        assert_eq!(service_bytes("8:0 Read 7\n8:0 Write 3\n8:0 Total 10\n8:16 Read 1\nTotal 11\n"), (8, 3));
        assert_eq!(Group::default().sample(), None);
    }

    #[test]
    fn a_group_of_the_newer_version() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("cgroup.controllers", "memory pids\n"),
            ("cpu.stat", "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\n"),
            ("memory.current", "4096\n"),
            ("memory.max", "max\n"),
            ("memory.stat", "anon 1\ninactive_file 96\n"),
            ("memory.events", "oom_kill 1\n"),
            ("pids.current", "3\n"),
            ("pids.max", "64\n"),
        ];
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let group = Group::at(vec![dir.path().to_path_buf()]);
        let sample = group.sample().unwrap();
        assert_eq!((sample.cpu, sample.memory, sample.memory_limit), (Duration::from_secs(3), Some(4000), None));
        assert_eq!((sample.pids, sample.pids_limit, group.oom_kills()), (Some(3), Some(64), 1));
    }
}
