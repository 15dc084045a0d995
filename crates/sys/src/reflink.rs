//! Copies of a file's bytes, as cheap as the file system makes them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use rustix::fs::SeekFrom as Position;
use rustix::io::Errno;

use crate::{Error, Result};

/// How much one copying call asks for.
const CHUNK: usize = 1 << 30;
/// How much goes through memory at a time.
const BUFFER: usize = 256 * 1024;

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
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(Copied::Shared);
    }
    let size = from.metadata().map_err(|error| Error::from_io("fstat", "", &error))?.len();
    to.set_len(size).map_err(|error| Error::from_io("ftruncate", "", &error))?;
    let mut how = Copied::InKernel;
    let mut at = 0;
    while let Some((start, end)) = next_data(from, at, size)? {
        if how == Copied::InKernel && !copy_in_kernel(from, to, start, end)? {
            how = Copied::ThroughMemory;
        }
        if how == Copied::ThroughMemory {
            copy_through_memory(from, to, start, end).map_err(|error| Error::from_io("copy", "", &error))?;
        }
        at = end;
    }
    Ok(how)
}

/// The next stretch at or after `at` that isn't a hole.
fn next_data(file: &File, at: u64, size: u64) -> Result<Option<(u64, u64)>> {
    if at >= size {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, Position::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // No such question on this file system: all of it is data.
        Err(Errno::INVAL) => return Ok(Some((at, size))),
        Err(errno) => return Err(Error::new("lseek SEEK_DATA", "", errno)),
    };
    let end = rustix::fs::seek(file, Position::Hole(start)).unwrap_or(size);
    Ok(Some((start, end)))
}

/// Whether the kernel could; the same range again otherwise.
fn copy_in_kernel(from: &File, to: &File, start: u64, end: u64) -> Result<bool> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let length = usize::try_from(end - read).unwrap_or(CHUNK).min(CHUNK);
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), length) {
            // It got shorter meanwhile.
            Ok(0) => return Ok(true),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => return Ok(false),
            Err(errno) => return Err(Error::new("copy_file_range", "", errno)),
        }
    }
    Ok(true)
}

fn copy_through_memory(mut from: &File, mut to: &File, start: u64, end: u64) -> std::io::Result<()> {
    from.seek(SeekFrom::Start(start))?;
    to.seek(SeekFrom::Start(start))?;
    let mut buffer = vec![0; BUFFER];
    let mut left = end - start;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        let read = from.read(&mut buffer[..want])?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read])?;
        left -= read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn copies_bytes_and_keeps_holes() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name| {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(true).open(dir.path().join(name)).unwrap()
        };
        let from = open("from");
        from.write_all_at(b"first", 0).unwrap();
        from.write_all_at(b"last", 8 << 20).unwrap();
        from.set_len((8 << 20) + 100_000).unwrap();
        let to = open("to");
        copy_file(&from, &to).unwrap();
        assert_eq!(std::fs::read(dir.path().join("from")).unwrap(), std::fs::read(dir.path().join("to")).unwrap());
        assert!(to.metadata().unwrap().blocks() < 1000, "holes were filled");
        let through = open("through");
        copy_through_memory(&from, &through, 0, 5).unwrap();
        assert_eq!(std::fs::read(dir.path().join("through")).unwrap(), b"first");
    }

    #[test]
    fn copies_nothing_and_across_file_systems() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("empty"), "").unwrap();
        let to = crate::memfd::create("to").unwrap();
        copy_file(&File::open(dir.path().join("empty")).unwrap(), &to).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 0);
        std::fs::write(dir.path().join("full"), "full").unwrap();
        copy_file(&File::open(dir.path().join("full")).unwrap(), &to).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 4);
    }
}
