//! Bytes by digest, the index over them, and the locks that let many processes share both.
//!
//! A [`Store`] is a directory (drawn in [`Layout`]) that any number of processes of one user open at
//! once, without a daemon. What is durable and what is cache is decided here and nowhere else: blobs
//! and the rows that name them are synced before a call returns; cache rows may be lost with the power.
//!
//! Nothing here knows what a layer tree or a tar stream is. Snapshots are named by the layout and
//! owned by the runtime; the store never looks into them.

pub mod blobs;
mod compressed;
mod downloads;
mod fetched;
pub mod index;
mod key_lock;
mod layout;
mod lease;
mod open;
mod random;
pub mod room;
mod split;
mod toc;
mod upload;

pub use blobs::{BlobWriter, Blobs, Expected, FsBlobs, MemoryBlobs};
pub use compressed::CompressedWriter;
pub use downloads::Download;
pub use fetched::Fetching;
pub use index::{BlobForm, Elsewhere, ImageRow, Index, LayerId, LayerRow, Origin, Record, TreeForm, Variant, boot_id};
pub use key_lock::KeyLock;
pub use layout::{Layout, VERSION, default_root};
pub use lease::{CollectLock, Lease, Pins, pin_lasting, unpin_lasting};
pub use open::{Error, Result, Store};
pub use room::{Collector, MAX_DEPTH, Meter, Room, RoomError};
