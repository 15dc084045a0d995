//! How much it may take.

use containers::config::Resources;

use crate::error::Result;

/// How much it may take.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {}

impl Options {
    #[expect(clippy::unnecessary_wraps, reason = "what is written is checked here")]
    pub(super) fn settle(&self) -> Result<Resources> {
        Ok(Resources::default())
    }
}
