//! Looking at a Dockerfile instead of building it.

use super::call::Call;
use crate::error::Result;

/// Options about checks.
#[derive(Debug, clap::Args)]
pub(super) struct CheckingArgs {
    /// Check the Dockerfile and its context instead of building: as `--call=check`
    #[arg(long)]
    pub(super) check: bool,
    /// Ask instead of building: check, outline or targets; `,format=json` for programs
    #[arg(long, value_name = "METHOD", conflicts_with = "check")]
    pub(super) call: Option<String>,
    /// Print the build graph instead of building: graph, graph=json or graph=dot
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "graph")]
    pub(super) print: Option<String>,
}

impl CheckingArgs {
    /// What is asked instead of a build.
    pub(super) fn call(&self) -> Result<Option<Call>> {
        match &self.call {
            _ if self.check => Ok(Some(Call::CHECK)),
            Some(written) => Call::parse(written),
            None => Ok(None),
        }
    }
}
