//! The privilege ladder: what this process may do here, and what keeps it from more.
//!
//! [`probe`] tries each rung for real, best first, in a child process; a caller remembers what it found for as long as
//! the machine runs. [`enter`] steps onto a rung. What each rung is worth:
//!
//! | rung | a base image unpacks | owners | set-user-id, USER |
//! |---|---|---|---|
//! | root, subordinate ids | yes | kept by the kernel | as always |
//! | single id | yes | kept by [`crate::single_id`] | emulated for root's processes; another USER is that one id |
//! | chroot | yes | kept by the kernel | as always, without isolation |
//! | unprivileged | no RUN | – | – |

mod attempt;
mod diagnose;
mod enter;

use std::path::Path;

use serde::{Deserialize, Serialize};
pub use sys::ns::IdRange;

pub use enter::{EnterError, Entry, enter};

/// How much of a sandbox the kernel and the machine's set-up grant, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// Root with all of an image's ids, allowed to mount.
    Root,
    /// A user namespace in which 0 is the caller and 1… are these ids.
    SubordinateIds {
        /// The subordinate user ids.
        uid: IdRange,
        /// The subordinate group ids.
        gid: IdRange,
    },
    /// A user namespace with nothing but the caller's own id in it.
    SingleId,
    /// Root inside a container that refuses namespaces but not chroot.
    Chroot,
    /// Nothing: only builds without RUN.
    Unprivileged,
}

/// Whether overlayfs mounts where snapshots will live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlay {
    /// It does, and takes whiteouts and `user.*` attributes.
    Native,
    /// It doesn't; why.
    Refused(String),
}

/// A better rung that couldn't be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Its name, as [`Rung::name`] has it.
    pub rung: String,
    /// What stood in the way.
    pub why: String,
    /// One line that removes it.
    pub fix: String,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The best rung that works.
    pub rung: Rung,
    /// Overlayfs on that rung, in the probed directory.
    pub overlay: Overlay,
    /// The better rungs, and what blocks them; best first.
    pub blocked: Vec<Blocked>,
}

impl Rung {
    /// As [`Rung::Root`] in a user namespace of its own, in which every id is itself: what takes such a namespace works there,
    /// and making devices does not.
    pub fn root_of_its_own() -> Self {
        let rest = |file: &str| {
            let map = std::fs::read_to_string(file).unwrap_or_default();
            IdRange { start: 1, count: consecutive(&map).saturating_sub(1) }
        };
        Self::SubordinateIds { uid: rest("/proc/self/uid_map"), gid: rest("/proc/self/gid_map") }
    }

    /// Its name in messages: `subordinate-ids`, ….
    pub fn name(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::SubordinateIds { .. } => "subordinate-ids",
            Self::SingleId => "single-id",
            Self::Chroot => "chroot",
            Self::Unprivileged => "unprivileged",
        }
    }
}

/// How many ids there are from 0 on, without a gap, by a map of the kernel's.
fn consecutive(map: &str) -> u32 {
    let line = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.nth(1)?.ok()?))
    };
    let mut extents: Vec<(u32, u32)> = map.lines().filter_map(line).collect();
    extents.sort_unstable();
    extents.iter().fold(0, |end, (start, count)| if *start == end { end.saturating_add(*count) } else { end })
}

/// Finds the best rung by trying, in child processes; `dir` is where overlay mounts will live (the store's snapshots),
/// and must be writable.
pub fn probe(dir: &Path) -> Probe {
    let machine = diagnose::Machine::here();
    let mut blocked = Vec::new();
    for candidate in machine.candidates() {
        let tried = candidate.and_then(|rung| match attempt::attempt(&rung, dir) {
            Ok(overlay) => Ok((rung, overlay)),
            Err(failure) => Err(machine.explain(&rung, &failure)),
        });
        match tried {
            Ok((rung, overlay)) => return Probe { rung, overlay, blocked },
            Err(why) => blocked.push(why),
        }
    }
    let overlay = Overlay::Refused("there are no namespaces to mount in".to_owned());
    Probe { rung: Rung::Unprivileged, overlay, blocked }
}

#[cfg(test)]
mod tests {
    use super::consecutive;

    #[test]
    fn ids_are_counted_to_the_first_gap() {
        for (map, expected) in [
            ("         0          0 4294967295\n", u32::MAX),
            ("0 1000 1\n1 100000 65536\n", 65_537),
            ("1 100000 65536\n0 1000 1\n", 65_537),
            ("0 0 10\n20 20 10\n", 10),
            ("5 5 10\n", 0),
            ("", 0),
        ] {
            assert_eq!(consecutive(map), expected, "{map}");
        }
    }
}
