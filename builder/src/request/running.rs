//! What the programs of RUN are run with. Nothing in here is part of a cache key.

use std::path::PathBuf;

use runtime::cgroup::Limits;
use runtime::container::{CapSet, Mount, Rlimit, Seccomp};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::secret::Secrets;
use crate::ssh::{Agents, KeyError};

/// What RUNs are run with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Running {
    /// A PEM file of authorities that RUNs trust besides their own.
    pub ca_bundle: Option<PathBuf>,
    /// Secrets that RUNs may mount.
    pub secrets: Secrets,
    /// Agents that RUNs may speak to.
    pub agents: Agents,
    /// What a RUN may ask for.
    pub allow: Allow,
    /// Additions to the hosts table: name and address.
    pub hosts: Vec<(String, String)>,
    /// Whether RUNs keep the image's own hosts table.
    pub no_hosts: bool,
    /// Whether RUNs keep the image's own `/etc/hostname`.
    pub no_hostname: bool,
    /// What is said of name servers.
    pub dns: Dns,
    /// Resource limits.
    pub ulimits: Vec<Rlimit>,
    /// Bytes of `/dev/shm`; docker's default where absent.
    pub shm_size: Option<u64>,
    /// Limits by control groups; `None` makes none.
    pub cgroup: Option<Cgroup>,
    /// Capabilities other than docker's.
    pub caps: Option<CapSet>,
    /// The filter of system calls; docker's where absent.
    pub seccomp: Option<Seccomp>,
    /// Whether set-user-id programs gain nothing.
    pub no_new_privs: bool,
    /// Groups of the user besides those of the image.
    pub groups: Vec<String>,
    /// Whether the proxies of our own environment are RUN's too.
    pub host_proxies: bool,
    /// Folders and devices of this machine, mounted into every RUN.
    pub mounts: Vec<Mount>,
    /// Whether RUNs read our standard input.
    pub stdin: bool,
}

impl Running {
    /// Reads secrets and keys, now: later this process may be somebody else, who may not. From here on it leaves no core
    /// file.
    ///
    /// # Errors
    /// The first file that gives no key. A secret that cannot be read is an error only for who wants it.
    pub fn read(&self) -> Result<(), KeyError> {
        if self.secrets.is_empty() && self.agents.is_empty() {
            return Ok(());
        }
        let hard = getrlimit(Resource::Core).maximum;
        // Lowering what is ours is never refused.
        let _ = setrlimit(Resource::Core, rustix::process::Rlimit { current: Some(0), maximum: hard });
        self.secrets.read_all();
        self.agents.read_all()
    }
}

/// What a RUN may ask for that others do not get: BuildKit's entitlements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allow {
    /// `RUN --network=host`.
    pub network_host: bool,
    /// `RUN --security=insecure`.
    pub security_insecure: bool,
}

/// What RUNs' `resolv.conf` says instead of the machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Whether RUNs keep the image's own file.
    pub none: bool,
    /// Name servers.
    pub servers: Vec<String>,
    /// Domains that are tried.
    pub search: Vec<String>,
    /// Options of the resolver.
    pub options: Vec<String>,
}

/// A control group for each RUN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cgroup {
    /// The group it is made in; our own, or the machine's root where we are root, if absent.
    pub parent: Option<String>,
    /// What is limited.
    pub limits: Limits,
}
