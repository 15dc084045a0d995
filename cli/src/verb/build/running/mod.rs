//! How the programs of RUN are run.

mod secrets;

use builder::{Running, Secrets};

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
    /// A secret for `RUN --mount=type=secret`: id=ID[,src=FILE|,env=NAME] (may be repeated)
    #[arg(long = "secret", value_name = "id=ID[,src=FILE|env=NAME]")]
    secrets: Vec<String>,
    /// An agent for `RUN --mount=type=ssh`: the running one, another's socket, or key files (may be repeated)
    #[arg(long = "ssh", value_name = "default|ID[=SOCKET|KEY[,KEY]]")]
    agents: Vec<String>,
}

impl RunningArgs {
    /// The secrets: for RUNs, and for what fetches.
    pub(super) fn secrets(&self) -> Result<Secrets> {
        secrets::parse(&self.secrets)
    }

    /// The agents: for RUNs, and for what fetches.
    pub(super) fn agents(&self) -> Result<builder::ssh::Agents> {
        secrets::agents(&self.agents)
    }

    /// What RUNs are run with.
    pub(super) fn running(&self) -> Result<Running> {
        let ca_bundle = self.ca_bundle.as_deref().map(super::options::ca_bundle).transpose()?;
        Ok(Running { ca_bundle, secrets: self.secrets()?, agents: self.agents()?, ..Running::default() })
    }
}
