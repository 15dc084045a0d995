//! What a reader is told before it reads.

/// What a reader refuses to go beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of content of all files together, holes included.
    pub total: u64,
    /// Number of entries.
    pub entries: u64,
    /// Memory that all entries together take who keeps them, as every record of a layer does: names, attributes, maps of
    /// holes. A compressed archive of a few megabytes can have more of them than a machine has memory.
    pub headers: u64,
}

/// Of [`Limits::headers`]: some five million files.
const MOST_HEADERS: u64 = 1 << 30;
/// What an entry takes besides its names, about.
pub(crate) const ENTRY_SIZE: u64 = 128;

impl Default for Limits {
    /// Content of any size, since it is not held in memory, and more entries than any image has.
    fn default() -> Limits {
        Limits { total: u64::MAX, entries: u64::MAX, headers: MOST_HEADERS }
    }
}

/// What a name that begins with `.wh.` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhiteoutNames {
    /// A deletion, as in every layer.
    #[default]
    Deletions,
    /// A name as any other: the archive is no layer.
    Plain,
}
