//! What the service manager hears.

use containers::config::Notify;

use crate::error::Result;

/// What the service manager hears.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {}

impl Options {
    #[expect(clippy::unnecessary_wraps, reason = "what is written is checked here")]
    pub(super) fn settle(&self) -> Result<Notify> {
        Ok(Notify::default())
    }
}
