//! What it may do: capabilities, filters, namespaces.

use containers::config::Isolation;

use crate::confinement;
use crate::error::Result;

/// What it may do.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    cap_add: Vec<String>,
    /// Drop a capability, or ALL
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    cap_drop: Vec<String>,
    /// seccomp=unconfined, seccomp=FILE, or no-new-privileges
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
}

impl Options {
    pub(super) fn settle(&self) -> Result<Isolation> {
        let confinement = confinement::parse(&self.security_opt)?;
        Ok(Isolation {
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            seccomp: confinement.seccomp,
            no_new_privs: confinement.no_new_privs,
            privileged: false,
        })
    }
}
