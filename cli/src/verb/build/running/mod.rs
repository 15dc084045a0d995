//! How the programs of RUN are run.

mod limits;
mod names;
mod rights;
mod secrets;

pub(in crate::verb) use limits::rlimit;

use builder::ssh::Agents;
use builder::{Running, Secrets};

use crate::confinement;
use crate::error::Result;

/// Options about RUN.
#[derive(Debug, clap::Args)]
pub(super) struct RunningArgs {
    /// The network of RUN: default, host or none
    #[arg(long, value_name = "MODE", default_value = "default", hide_default_value = true)]
    pub(super) network: String,
    /// Certificate authorities that RUNs trust besides their own: a PEM file, or `system` for this machine's
    #[arg(long, value_name = "FILE|system")]
    pub(super) ca_bundle: Option<String>,
    /// A secret for `RUN --mount=type=secret` (may be repeated)
    #[arg(long = "secret", value_name = "id=ID[,src=FILE|,env=NAME]")]
    secrets: Vec<String>,
    /// An agent for `RUN --mount=type=ssh`: the running one, another's socket, or key files (may be repeated)
    #[arg(long = "ssh", value_name = "default|ID[=SOCKET|KEY[,KEY]]")]
    agents: Vec<String>,
    #[command(flatten)]
    names: names::NameArgs,
    #[command(flatten)]
    limits: limits::LimitArgs,
    #[command(flatten)]
    rights: rights::RightsArgs,
}

impl RunningArgs {
    /// The secrets: for RUNs, and for what fetches.
    pub(super) fn secrets(&self) -> Result<Secrets> {
        secrets::parse(&self.secrets)
    }

    /// The agents: for RUNs, and for what fetches. Their keys are read here already, so that a wrong one is told at once.
    pub(super) fn agents(&self) -> Result<Agents> {
        let agents = secrets::agents(&self.agents)?;
        agents.read_all()?;
        Ok(agents)
    }

    /// What RUNs are run with.
    pub(super) fn running(&self) -> Result<Running> {
        let confinement = confinement::parse(&self.rights.security)?;
        Ok(Running {
            ca_bundle: self.ca_bundle.as_deref().map(super::options::ca_bundle).transpose()?,
            secrets: self.secrets()?,
            agents: self.agents()?,
            allow: self.rights.allow(&self.network)?,
            hosts: self.names.hosts()?,
            no_hosts: self.names.no_hosts,
            no_hostname: self.names.no_hostname,
            dns: self.names.dns()?,
            ulimits: self.limits.rlimits()?,
            shm_size: self.limits.shm_size()?,
            cgroup: self.limits.cgroup()?,
            caps: self.rights.caps()?,
            seccomp: confinement.seccomp,
            no_new_privs: confinement.no_new_privs,
            groups: self.rights.groups.clone(),
            host_proxies: self.rights.http_proxy.unwrap_or(false),
            mounts: self.rights.mounts()?,
            stdin: self.rights.stdin,
        })
    }
}
