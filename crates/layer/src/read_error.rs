//! Why an archive cannot be read.

use std::io;

use crate::header::HeaderError;
use crate::pax::PaxError;
use crate::plan::PlanError;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stream failed: on disk, in decompression, or by a digest that doesn't match.
    #[error("read tar at byte {offset}: {source}")]
    Io {
        /// Where in the uncompressed archive.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// What is recorded of the archive could not be written.
    #[error("write tar split: {0}")]
    Record(#[source] io::Error),
    /// The archive ends within a member.
    #[error("the tar ends at byte {offset}, within a member")]
    Truncated {
        /// Where in the uncompressed archive.
        offset: u64,
    },
    /// A header block is damaged, or this is no tar.
    #[error("tar header at byte {offset}: {source}")]
    Header {
        /// Where in the uncompressed archive.
        offset: u64,
        /// Why.
        source: HeaderError,
    },
    /// An extended header is damaged.
    #[error("tar header at byte {offset}: {source}")]
    Pax {
        /// Where in the uncompressed archive.
        offset: u64,
        /// Why.
        source: PaxError,
    },
    /// A name leads nowhere that a layer may reach.
    #[error("tar header at byte {offset}: {source}")]
    Plan {
        /// Where in the uncompressed archive.
        offset: u64,
        /// Why.
        source: PlanError,
    },
    /// An extended header is larger than any legitimate one.
    #[error("tar header at byte {offset}: an extended header of {size} bytes")]
    ExtendedSize {
        /// Where in the uncompressed archive.
        offset: u64,
        /// What it claims.
        size: u64,
    },
    /// Extended headers that belong to no member, or two of a kind for one member.
    #[error("tar header at byte {offset}: an extended header out of place")]
    Misplaced {
        /// Where in the uncompressed archive.
        offset: u64,
    },
    /// A global header that would move or resize the members after it.
    #[error("tar header at byte {offset}: a global header sets `{key}`")]
    Global {
        /// Where in the uncompressed archive.
        offset: u64,
        /// The record.
        key: String,
    },
    /// A GNU and a PAX header give one member two names.
    #[error("tar header at byte {offset}: a member with two different names")]
    TwoNames {
        /// Where in the uncompressed archive.
        offset: u64,
    },
    /// The header and the extended header give one member two sizes.
    #[error("`{path}`: its two headers give different sizes")]
    Sizes {
        /// As the archive names it.
        path: String,
    },
    /// A kind of member that no layer holds.
    #[error("`{path}`: unsupported kind of tar member `{flag}`")]
    Unsupported {
        /// As the archive names it.
        path: String,
        /// The type flag.
        flag: char,
    },
    /// Something that has no content claims some.
    #[error("`{path}`: content in a tar member of kind `{flag}`")]
    Content {
        /// As the archive names it.
        path: String,
        /// The type flag.
        flag: char,
    },
    /// A link without target, or to itself.
    #[error("`{0}`: a link that leads nowhere")]
    Link(String),
    /// A map of holes that contradicts itself or the size.
    #[error("`{0}`: invalid sparse map")]
    Sparse(String),
    /// A limit is passed.
    #[error("`{path}`: the archive holds more than {limit} {what}")]
    TooLarge {
        /// The entry that passed it.
        path: String,
        /// The limit.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
}
