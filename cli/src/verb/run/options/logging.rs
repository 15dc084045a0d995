//! Where what it says goes.

use containers::config::Logging;

use crate::error::Result;

/// Where what it says goes.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {}

impl Options {
    #[expect(clippy::unnecessary_wraps, reason = "what is written is checked here")]
    pub(super) fn settle(&self) -> Result<Logging> {
        Ok(Logging::default())
    }
}
