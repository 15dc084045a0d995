//! stub
use super::{Applied, ApplyError, ApplyOptions};
use layer::Compression;
use oci::DiffId;
use std::io::Read;
use sys::Root;
/// What [`unpack`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked { /// What was applied.
 pub applied: Applied, /// The layer's identity.
 pub diff_id: DiffId, /// Bytes of the uncompressed tar.
 pub size: u64, /// How it was compressed.
 pub compression: Compression }
/// Applies a tar of any compression; decompressing and hashing run beside it, in a second thread.
/// The reader is read to its end, so a verifying one has judged by the time this returns.
#[expect(unused, clippy::todo, reason = "being laid")]
pub fn unpack(blob: impl Read + Send, into: &Root, options: &ApplyOptions) -> Result<Unpacked, ApplyError> { todo!() }
