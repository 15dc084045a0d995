//! What a build tells besides its progress, and what it leaves when it fails.

use std::path::PathBuf;

/// Options about explanations.
#[derive(Debug, clap::Args)]
pub(super) struct TellingArgs {
    /// Say of each step that was not cached what changed
    #[arg(long)]
    pub(super) explain: bool,
    /// Write a page about the build: its graph, its times, its logs
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Write progress and what steps say into a file instead of showing them
    #[arg(long, value_name = "FILE")]
    pub(super) logfile: Option<PathBuf>,
    /// What to do with a step that fails: `shell` opens one where it stood
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(super) on_error: Option<OnError>,
}

impl TellingArgs {
    /// Whether a shell is to open where a step failed.
    pub(super) fn wants_shell(&self) -> bool {
        self.on_error == Some(OnError::Shell)
    }
}

/// What becomes of a step that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OnError {
    /// Its file system is kept, and the build ends
    Keep,
    /// A shell opens in it first
    Shell,
}
