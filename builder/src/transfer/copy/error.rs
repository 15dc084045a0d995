//! Why a copy failed.

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// A registry failed.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// These two cannot be joined.
    #[error("cannot copy from `{from}:` to `{to}:`")]
    Pair {
        /// Where from.
        from: &'static str,
        /// Where to.
        to: &'static str,
    },
}
