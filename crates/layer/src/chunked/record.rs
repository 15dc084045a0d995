//! One entry of a table of contents.

use std::collections::BTreeMap;

use oci::Digest;

use super::parts::PART;
use crate::Kind;

/// An entry as the tar names it, and where its content went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) link: String,
    /// As the header has it, bits beyond the permissions included.
    pub(super) mode: u64,
    pub(super) size: u64,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) rdev: (u32, u32),
    pub(super) times: Times,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
    /// Of a file with content: the numbers of its parts, …
    pub(super) parts: Vec<usize>,
    /// … the number of the part after them, …
    pub(super) end: usize,
    /// … the digest of all of it, and those of its parts where there are several.
    pub(super) digest: Option<Digest>,
    pub(super) chunks: Vec<Digest>,
}

/// Seconds since 1970, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Times {
    pub(super) modified: (i64, u32),
    pub(super) accessed: Option<(i64, u32)>,
    pub(super) changed: Option<(i64, u32)>,
}

impl Record {
    /// What both tables call its kind.
    pub(super) fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::File | Kind::Whiteout | Kind::Opaque => "reg",
            Kind::Dir => "dir",
            Kind::Symlink => "symlink",
            Kind::Hardlink => "hardlink",
            Kind::Char => "char",
            Kind::Block => "block",
            Kind::Fifo => "fifo",
        }
    }

    /// Where in the file a part begins, and how long it is.
    pub(super) fn extent(&self, number: usize) -> (u64, u64) {
        let offset = number as u64 * PART as u64;
        (offset, (self.size - offset).min(PART as u64))
    }
}
