//! stub
/// A run of bytes of a file that a sparse tar member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Where in the file it lies.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}
