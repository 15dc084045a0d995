//! How the programs of RUN are run.

/// Options about RUN.
#[derive(Debug, clap::Args)]
pub(super) struct RunningArgs {
    /// The network of RUN: default, host or none
    #[arg(long, value_name = "MODE", default_value = "default", hide_default_value = true)]
    pub(super) network: String,
    /// Certificate authorities that RUNs trust besides their own: a PEM file, or `system` for this machine's
    #[arg(long, value_name = "FILE|system")]
    pub(super) ca_bundle: Option<String>,
}
