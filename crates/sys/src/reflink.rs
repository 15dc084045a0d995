//! Copies of a file's bytes, as cheap as the file system makes them.

use std::fs::File;

use crate::Result;

/// How the bytes got across.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// They are shared until one side writes (FICLONE).
    Shared,
    /// The kernel copied them (copy_file_range).
    InKernel,
    /// They went through our memory.
    ThroughMemory,
}

/// Copies all of `from` into the empty file `to`, holes kept: FICLONE, else copy_file_range, else read and write.
pub fn copy_file(from: &File, to: &File) -> Result<Copied> {
    let _ = (from, to);
    todo!()
}
