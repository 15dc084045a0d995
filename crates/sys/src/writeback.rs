//! Writing dirty pages out early, so that the fsync at the end of a large file finds little to do.

use std::fs::File;
use std::os::fd::AsRawFd;

/// Starts writing out the pages of `file` from `offset` on, `length` bytes of them, and does not wait.
///
/// A hint: where it is refused nothing is lost, since durability is [`File::sync_all`]'s business alone. See sync_file_range(2).
pub fn start(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else { return };
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}
