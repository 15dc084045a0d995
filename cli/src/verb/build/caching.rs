//! Where results come from, and where they are kept.

/// Options about the cache.
#[derive(Debug, clap::Args)]
pub(super) struct CachingArgs {
    /// Take no step from the cache
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Take no step of these stages from the cache
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(super) no_cache_filter: Vec<String>,
}
