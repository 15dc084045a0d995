//! How its health is asked.

use containers::config::Health;
use oci::ContainerConfig;

use crate::error::Result;

/// How its health is asked.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    #[arg(long, hide = true)]
    no_healthcheck: bool,
}

impl Options {
    #[expect(clippy::unnecessary_wraps, reason = "what is written is checked here")]
    pub(super) fn settle(&self, _defaults: &ContainerConfig) -> Result<Option<Health>> {
        Ok(None)
    }
}
