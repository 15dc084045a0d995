//! stub
/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TocError {
    /// Reading or writing failed.
    #[error("layer record: {0}")]
    Io(#[from] std::io::Error),
}
