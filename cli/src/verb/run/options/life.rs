//! `--rm`, `--restart`, `--stop-signal`, labels.

use containers::config::Life;
use oci::ContainerConfig;

use crate::error::Result;

/// How it begins, ends and begins again.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// Remove the container when it ends
    #[arg(long)]
    pub(in crate::verb) rm: bool,
    /// The container's name
    #[arg(long, value_name = "NAME")]
    pub(in crate::verb) name: Option<String>,
}

impl Options {
    #[expect(clippy::unnecessary_wraps, reason = "labels and signals are checked here")]
    pub(super) fn settle(&self, defaults: &ContainerConfig) -> Result<Life> {
        Ok(Life { remove: self.rm, labels: defaults.labels.clone(), ..Life::default() })
    }
}
