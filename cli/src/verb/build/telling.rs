//! What a build tells besides its progress.

/// Options about explanations.
#[derive(Debug, clap::Args)]
pub(super) struct TellingArgs {
    /// Say of each step that was not cached what changed
    #[arg(long)]
    pub(super) explain: bool,
}
