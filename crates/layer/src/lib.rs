//! Layers as streams: tar, whiteouts, compression. `Read` in, `Write` out, nothing else.
//!
//! A layer is a sequence of [`Entry`]s. [`TarWriter`] turns them into bytes in exactly one way, so that equal entries
//! give an equal digest; [`TarReader`] takes any tar that is in use, hostile ones included, and gives the same entries
//! back. [`Toc`] is the record of a layer's headers, from which its bytes can be found, and written, again.
//!
//! Nothing in this crate touches a file system: paths are bytes here.

mod blocks;
mod buffer;
mod chunked;
mod compression;
mod entry;
mod frames;
mod gzip;
mod header;
mod limits;
mod member;
mod ordered;
mod pax;
pub mod plan;
mod read;
mod read_error;
mod selection;
mod sparse;
mod split;
mod toc;
mod toc_codec;
mod whiteout;
mod write;

pub use chunked::{Chunked, ChunkedError, ChunkedForm, Contents};
pub use compression::{Compression, CompressionError, Encoder};
pub use entry::{Entry, Kind, compare_paths, is_private_xattr};
pub use header::HeaderError;
pub use limits::{Limits, WhiteoutNames};
pub use pax::PaxError;
pub use read::{Chunk, TarEntryReader, TarReader};
pub use read_error::ReadError;
pub use selection::SelectionHasher;
pub use sparse::Extent;
pub use split::{Piece, Recorder, SplitError, SplitReader, SplitWriter};
pub use toc::{Toc, TocEntry};
pub use toc_codec::TocError;
pub use write::{TarWriter, WriteError, copy_exactly};
