//! What a container may do, and whose namespaces it has.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sys::ns::IdMap;

/// What a container may do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Isolation {
    /// Capabilities added.
    pub cap_add: Vec<String>,
    /// Capabilities dropped.
    pub cap_drop: Vec<String>,
    /// The filter of system calls.
    pub seccomp: Option<runtime::container::Seccomp>,
    /// Whether set-user-id programs gain nothing.
    pub no_new_privs: bool,
    /// Everything at once.
    pub privileged: bool,
    /// Which users there are.
    pub users: Users,
    /// Whose processes it sees.
    pub pid: Share,
    /// Whose messages and shared memory it has.
    pub ipc: Share,
    /// Whether it has no `/dev/shm` (`--ipc none`).
    pub no_shm: bool,
    /// Whose host name it has.
    pub uts: Share,
    /// Whose control groups it sees.
    pub cgroup: Share,
    /// Paths that are hidden besides the usual ones.
    pub masked: Vec<String>,
    /// Usual paths that are neither hidden nor protected; `ALL` is all.
    pub unmasked: Vec<String>,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Kernel settings of its own namespaces.
    pub sysctls: Vec<(String, String)>,
    /// Settings of its `/proc`.
    pub proc_options: Vec<(String, String)>,
    /// Its SELinux label.
    pub label: Option<String>,
    /// Its AppArmor profile.
    pub profile: Option<String>,
    /// Whether landlock is left out.
    pub no_landlock: bool,
    /// Which permissions its files are made without.
    pub umask: Option<u32>,
    /// Its NIS domain.
    pub domainname: Option<String>,
    /// Whether it keeps the groups of who started it.
    pub keep_groups: bool,
    /// Who runs it: a name or path of another runtime; `None` is ours.
    pub runtime: Option<String>,
}

/// Whose namespace of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// Its own.
    #[default]
    Own,
    /// The host's.
    Host,
    /// Another container's: its id; its name until it is settled.
    Container(String),
}

/// Which users there are inside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Users {
    /// Those of its rung: 0 is the caller, 1… his subordinate ids.
    #[default]
    Rung,
    /// The caller is this one inside, the others are subordinate ids.
    KeepId {
        /// His user id inside.
        uid: u32,
        /// His group id inside.
        gid: u32,
    },
    /// The caller is nobody inside.
    NoMap,
    /// So many ids that no other container has.
    Auto {
        /// The first, as its surroundings count; 0 until it is settled.
        start: u32,
        /// How many.
        size: u32,
    },
    /// By maps into these.
    Maps {
        /// Users.
        uids: Vec<IdMap>,
        /// Groups.
        gids: Vec<IdMap>,
    },
    /// Those of another container: its id; its name until it is settled.
    Container(String),
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Where it is: a node, or a folder of nodes.
    pub host: PathBuf,
    /// Where it is inside.
    pub inside: String,
    /// `r`, `w`, `m`.
    pub rights: String,
}

impl Share {
    fn container(&self) -> Option<&String> {
        if let Self::Container(container) = self { Some(container) } else { None }
    }

    fn container_mut(&mut self) -> Option<&mut String> {
        if let Self::Container(container) = self { Some(container) } else { None }
    }
}

impl Isolation {
    /// The containers whose namespaces are shared, those of its network aside.
    pub fn shared(&self) -> impl Iterator<Item = &str> {
        let users = if let Users::Container(container) = &self.users { Some(container) } else { None };
        let kinds = [&self.pid, &self.ipc, &self.uts, &self.cgroup].map(Share::container);
        kinds.into_iter().flatten().chain(users).map(String::as_str)
    }

    /// The same, to write their ids in the place of their names.
    pub fn shared_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let users = if let Users::Container(container) = &mut self.users { Some(container) } else { None };
        let kinds = [&mut self.pid, &mut self.ipc, &mut self.uts, &mut self.cgroup].map(Share::container_mut);
        kinds.into_iter().flatten().chain(users)
    }
}
