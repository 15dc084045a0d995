//! The walls of a container, where they stand elsewhere than usual.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sys::ns::IdMap;

/// The walls of a container. The default is docker's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Boundary {
    /// Whose processes, messages, names and control groups it sees.
    pub namespaces: Namespaces,
    /// Which users there are.
    pub users: Users,
    /// What of the kernel's files is hidden or protected.
    pub paths: Paths,
    /// Devices besides the usual ones.
    pub devices: Vec<Device>,
    /// Kernel settings of its own namespaces.
    pub sysctls: Vec<(String, String)>,
    /// Settings of its `/proc`: `hidepid=2`.
    pub proc_options: Vec<(String, String)>,
    /// Its NIS domain; only where the names are its own.
    pub domainname: Option<String>,
    /// Which permissions its files are made without; `None` is 022.
    pub umask: Option<u32>,
    /// Whether it has the groups of who starts it, mapped or not, instead of those of its image.
    pub keep_groups: bool,
    /// Whether there is no `/dev/shm`.
    pub no_shm: bool,
    /// The SELinux label that its program gets.
    pub label: Option<String>,
    /// The AppArmor profile that its program gets.
    pub profile: Option<String>,
    /// Whether landlock keeps it from what namespaces leave within reach: abstract sockets on the host's network; files and processes
    /// outside where there is only a chroot. Where the kernel can't, it doesn't.
    pub landlock: bool,
}

/// Whose of each kind it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Processes.
    pub pid: Namespace,
    /// System V objects, message queues, `/dev/shm`.
    pub ipc: Namespace,
    /// Host and domain name.
    pub uts: Namespace,
    /// The root of the control groups.
    pub cgroup: Namespace,
}

/// Whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// Its own.
    #[default]
    Own,
    /// That of whoever starts it.
    Host,
    /// That of a process, by its pidfd.
    Joined {
        /// Index into [`super::Stdio::files`].
        index: usize,
    },
}

impl Namespace {
    fn index(self) -> Option<usize> {
        if let Self::Joined { index } = self { Some(index) } else { None }
    }
}

/// Which users there are inside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Users {
    /// Those of the user namespace that it is started in.
    #[default]
    Same,
    /// Those of a namespace of its own, by maps into the one that it is started in. Its file tree is given to them.
    Own {
        /// Users.
        uids: Vec<IdMap>,
        /// Groups.
        gids: Vec<IdMap>,
    },
    /// Those of a process, by its pidfd, which lives in one of the same maps.
    Joined {
        /// Index into [`super::Stdio::files`].
        index: usize,
        /// Users.
        uids: Vec<IdMap>,
        /// Groups.
        gids: Vec<IdMap>,
    },
}

impl Users {
    /// The maps of users and of groups, if there are any.
    pub(super) fn maps(&self) -> Option<(&[IdMap], &[IdMap])> {
        match self {
            Self::Same => None,
            Self::Own { uids, gids } | Self::Joined { uids, gids, .. } => Some((uids, gids)),
        }
    }

    /// What an owner inside is outside. Who is not mapped stays who he is: inside he is nobody.
    pub(crate) fn outside(&self, uid: u32, gid: u32) -> (u32, u32) {
        match self.maps() {
            Some((uids, gids)) => (outside(uids, uid).unwrap_or(uid), outside(gids, gid).unwrap_or(gid)),
            None => (uid, gid),
        }
    }
}

fn outside(map: &[IdMap], id: u32) -> Option<u32> {
    map.iter().find_map(|row| {
        let offset = id.checked_sub(row.inside)?;
        if offset < row.count { row.outside.checked_add(offset) } else { None }
    })
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Where it is, links resolved by who asks.
    pub host: PathBuf,
    /// Its path below `/dev` inside: `snd/timer`.
    pub name: String,
}

/// What of the kernel's files is hidden or protected: absolute paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// Covered by nothing.
    pub masked: Vec<String>,
    /// Readable only; below `/proc` and `/sys` alone.
    pub readonly: Vec<String>,
}

/// Hidden by docker.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Protected by docker.
const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

impl Default for Paths {
    fn default() -> Self {
        let owned = |list: &[&str]| list.iter().map(|path| (*path).to_owned()).collect();
        Self { masked: owned(&MASKED), readonly: owned(&READONLY) }
    }
}

impl Boundary {
    /// Which of [`super::Stdio::files`] are processes, not files.
    pub(super) fn processes(&self) -> impl Iterator<Item = usize> {
        let of = &self.namespaces;
        let users = if let Users::Joined { index, .. } = self.users { Some(index) } else { None };
        [of.pid.index(), of.ipc.index(), of.uts.index(), of.cgroup.index(), users].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_outside_are_by_the_maps() {
        let row = |inside, outside, count| IdMap { inside, outside, count };
        let keep = vec![row(0, 1, 1000), row(1000, 0, 1), row(1001, 1001, 64_536)];
        let users = Users::Own { uids: keep.clone(), gids: keep };
        for (inside, expected) in [(0, 1), (999, 1000), (1000, 0), (1001, 1001), (65_537, 65_537), (70_000, 70_000)] {
            assert_eq!(users.outside(inside, inside), (expected, expected));
        }
        assert_eq!(Users::Same.outside(5, 6), (5, 6));
    }
}
