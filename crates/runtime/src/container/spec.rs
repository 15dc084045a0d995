//! What a container is, as data: it crosses to the spawner as bytes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::boundary::Boundary;
use super::caps::CapSet;
use super::mount::{Bind, Memory};
use super::seccomp::Seccomp;
use crate::cgroup::Place;
use crate::snapshot::RootFs;

/// A container to start. Everything in it is resolved: nothing here asks the environment.
///
/// [`Spec::new`] gives the defaults of `docker run`; change the fields that differ.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// What its `/` is made of.
    pub rootfs: RootFs,
    /// Whether `/` itself refuses writes; mounts on it don't.
    pub readonly_rootfs: bool,
    /// Whether a program that syncs a file of the tree itself has it on disk then: not where the tree goes with the container.
    #[serde(default)]
    pub durable_rootfs: bool,
    /// What is mounted inside, in this order, after `/proc`, `/sys` and `/dev`.
    pub mounts: Vec<Mount>,
    /// The program and its arguments; the program is looked up in `PATH` of `env`, inside.
    pub args: Vec<String>,
    /// The whole environment, `HOME` and `PATH` excepted: these two are added where absent.
    pub env: Vec<(String, String)>,
    /// The working directory, made where absent. Empty means `/`.
    pub cwd: String,
    /// `name`, `uid`, `name:group`, `uid:gid`; resolved in the image's own passwd and group files. Empty means root.
    pub user: String,
    /// Groups besides those that the image's group file names: names or numbers.
    pub extra_groups: Vec<String>,
    /// The host name; also written to `/etc/hostname`. `None` keeps what the host has, in both places.
    pub hostname: Option<String>,
    /// Whether `/etc/hostname` is one of ours where `hostname` is given.
    pub hostname_file: bool,
    /// Whose network it sees.
    pub network: Network,
    /// What root may do inside.
    pub caps: CapSet,
    /// Which system calls it may make.
    pub seccomp: Seccomp,
    /// Whether set-user-id programs gain nothing.
    pub no_new_privs: bool,
    /// Whether it gets a terminal: then stdin, stdout and stderr of [`super::Stdio`] are not used, and
    /// [`super::Running::terminal`] is the other end.
    pub terminal: Option<WindowSize>,
    /// Whether process 1 is ours: it reaps orphans, forwards signals, and exits as the program did.
    pub init: bool,
    /// Mounted over `/etc/resolv.conf` when not `None`.
    pub resolv_conf: Option<Vec<u8>>,
    /// Mounted over `/etc/hosts` when not `None`.
    pub hosts: Option<Vec<u8>>,
    /// Limits, clamped to what we may give.
    pub rlimits: Vec<Rlimit>,
    /// The kernel's preference to kill it first; ignored where refused.
    pub oom_score_adj: Option<i32>,
    /// Limits by a control group of its own.
    pub cgroup: Option<Place>,
    /// Bytes of `/dev/shm`.
    pub shm_size: u64,
    /// Nothing masked, nothing read-only, all capabilities, no filter: `--privileged`, `security=insecure`.
    pub privileged: bool,
    /// Which ids there are to be.
    pub ids: Ids,
    /// Directories of the container's own tree, made where absent: volumes without a name.
    pub folders: Vec<String>,
    /// How it is set apart from its surroundings.
    pub isolation: Isolation,
    /// Where its walls stand elsewhere than usual.
    #[serde(default)]
    pub boundary: Boundary,
    /// On the single-id rung: the table in which a monitor keeps the owners that the kernel refused to record
    /// ([`crate::snapshot::ActiveSnapshot::owners`]).
    pub monitor: Option<PathBuf>,
}

impl Spec {
    /// The defaults: docker's capabilities and filter, host network, user root, no terminal.
    pub fn new(rootfs: RootFs, args: Vec<String>) -> Self {
        Self {
            rootfs,
            readonly_rootfs: false,
            durable_rootfs: false,
            mounts: Vec::new(),
            args,
            env: Vec::new(),
            cwd: String::new(),
            user: String::new(),
            extra_groups: Vec::new(),
            hostname: None,
            hostname_file: true,
            network: Network::Host,
            caps: CapSet::docker(),
            seccomp: Seccomp::Default,
            no_new_privs: false,
            terminal: None,
            init: false,
            resolv_conf: None,
            hosts: None,
            rlimits: Vec::new(),
            oom_score_adj: None,
            cgroup: None,
            shm_size: DEFAULT_SHM_SIZE,
            privileged: false,
            ids: Ids::Mapped,
            folders: Vec::new(),
            isolation: Isolation::Namespaces,
            boundary: Boundary::default(),
            monitor: None,
        }
    }
}

/// Bytes of `/dev/shm` that docker gives.
pub const DEFAULT_SHM_SIZE: u64 = 64 << 20;

/// One more thing in the container's tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, resolved inside the container; made where absent, and unmade afterwards.
    pub target: String,
    /// What.
    pub source: Source,
    /// Whether it refuses writes.
    pub readonly: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A file or directory of the host, by path; `recursive` brings what is mounted below it.
    Path {
        /// Resolved before the container is made, links followed.
        path: PathBuf,
        /// Whether with all mounts below.
        recursive: bool,
    },
    /// A file or directory of the host, by descriptor: its number in [`super::Stdio::files`].
    File {
        /// Index into [`super::Stdio::files`].
        index: usize,
    },
    /// A directory or file inside a tree of layers, resolved within that tree.
    Tree {
        /// The tree.
        rootfs: RootFs,
        /// The path inside it; empty means all of it.
        subpath: String,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// Bytes at most; `None` leaves it to the kernel (half the memory).
        size: Option<u64>,
        /// Its mode.
        mode: u32,
    },
    /// A file or directory of the host, with all that can be said of it.
    Bind(Box<Bind>),
    /// A directory in memory, with all that can be said of it.
    Memory(Box<Memory>),
    /// A file with these bytes.
    Data {
        /// Its content.
        data: Vec<u8>,
        /// Its mode.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

/// Whose network a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The network of whoever starts it.
    Host,
    /// Loopback only.
    None,
    /// One that is there already, made by the caller or another container's: its namespace is a descriptor, which is not
    /// mounted anywhere. Whoever joins it must rule it: it belongs to the user namespace of the container, or to one inside.
    Joined {
        /// Index into [`super::Stdio::files`].
        index: usize,
    },
}

/// Which ids exist inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ids {
    /// Those of the caller's user namespace, which has what the image needs.
    Mapped,
    /// Only one: a user other than root is that one, by a user namespace of its own.
    Single,
}

/// How a container is set apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// By namespaces.
    Namespaces,
    /// By chroot alone, where the surroundings refuse namespaces: no mounts, the rootfs must be a [`RootFs::Dir`].
    Chroot,
}

/// One resource limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Its name as docker's `--ulimit` has it: `nofile`, `nproc`, …
    pub name: String,
    /// The soft limit; `None` is unlimited.
    pub soft: Option<u64>,
    /// The hard limit; `None` is unlimited.
    pub hard: Option<u64>,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}
