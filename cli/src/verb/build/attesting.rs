//! What is said of an image besides the image: provenance, and what is in it.

/// Options about attestations.
#[derive(Debug, clap::Args)]
pub(super) struct AttestingArgs {
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) provenance: Option<String>,
}
