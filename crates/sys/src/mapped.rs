//! Files of ours, mapped for reading.

use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;

use crate::{Error, Result};

/// A whole file as bytes.
///
/// Only for files that nobody shortens while they are mapped: the immutable blobs and tables of our own store, whose
/// directory is 0700. Reading past the end of a file that shrank would be a SIGBUS.
#[derive(Debug)]
pub struct Mapped {
    map: Option<memmap2::Mmap>,
}

impl Mapped {
    /// Maps `file`, which may be closed afterwards. An empty file maps to no bytes.
    pub fn new(file: &File) -> Result<Self> {
        let length = file.metadata().map_err(|error| Error::from_io("fstat", "", &error))?.len();
        if length == 0 {
            return Ok(Self { map: None });
        }
        // SAFETY: the file is ours and immutable, as the type's documentation asks of the caller.
        let map = unsafe { memmap2::Mmap::map(file) };
        Ok(Self { map: Some(map.map_err(|error| Error::from_io("mmap", "", &error))?) })
    }

    /// Opens and maps the file at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::from_io("open", path, &error))?;
        Self::new(&file).map_err(|error| error.at(path))
    }
}

/// How many pages one mincore(2) is asked about: its answer is on the stack then. 16 MiB.
const PAGES_ASKED: usize = 4096;

/// Ranges are of bytes; what of them lies past the end is ignored.
impl Mapped {
    /// Whether every page of `range` is in memory now, so that reading it waits for no disk. A snapshot: the kernel may
    /// drop pages at any time. Where the kernel does not tell, the answer is yes.
    pub fn resident(&self, range: Range<usize>) -> bool {
        let Some((mut at, end)) = self.pages(range) else { return true };
        let page = rustix::param::page_size();
        let mut answer = [0_u8; PAGES_ASKED];
        while at < end {
            let length = (end - at).min(PAGES_ASKED * page);
            // SAFETY: [at, at + length) lies in the map, which lives as long as `self`; the answer has a byte a page.
            let code = unsafe { libc::mincore(self.as_ptr().add(at).cast_mut().cast(), length, answer.as_mut_ptr()) };
            if code != 0 {
                return true;
            }
            if !answer[..length.div_ceil(page)].iter().all(|byte| byte & 1 == 1) {
                return false;
            }
            at += length;
        }
        true
    }

    /// Reads `range` into memory and waits for it. A page that the disk cannot give is an error here, where touching it would be a SIGBUS.
    pub fn populate(&self, range: Range<usize>) -> Result<()> {
        let Some((at, end)) = self.pages(range) else { return Ok(()) };
        let Some(map) = &self.map else { return Ok(()) };
        // One request for all of it first: faults alone would read ahead by the device's small window. A hint.
        let _hint = map.advise_range(memmap2::Advice::WillNeed, at, end - at);
        match map.advise_range(memmap2::Advice::PopulateRead, at, end - at) {
            // Kernels before 5.14 have no such advice.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            Err(error) => Err(Error::from_io("madvise MADV_POPULATE_READ", "", &error)),
            Ok(()) => Ok(()),
        }
    }

    /// Starts reading `range` and does not wait. A hint.
    pub fn will_need(&self, range: Range<usize>) {
        if let (Some((at, end)), Some(map)) = (self.pages(range), &self.map) {
            let _hint = map.advise_range(memmap2::Advice::WillNeed, at, end - at);
        }
    }

    /// The range grown to whole pages and cut to the map; `None` where nothing is left.
    fn pages(&self, range: Range<usize>) -> Option<(usize, usize)> {
        let page = rustix::param::page_size();
        let end = range.end.min(self.len());
        let start = range.start / page * page;
        (range.start < end).then_some((start, end))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_asked_for_and_read_in() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes = vec![5_u8; 20 << 20];
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        let map = Mapped::new(&file).unwrap();
        for range in [0..0, 0..1, 4095..4097, 5000..bytes.len(), 0..usize::MAX, 30 << 20..40 << 20] {
            map.will_need(range.clone());
            map.populate(range.clone()).unwrap();
            assert!(map.resident(range.clone()), "{range:?}");
        }
        // Pages past the end of a file that shrank are an error and no signal.
        file.set_len(4096).unwrap();
        assert!(map.populate(8192..16384).is_err());
    }

    #[test]
    fn maps_what_was_written_and_nothing_of_an_empty_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"").unwrap();
        assert!(Mapped::open(&path).unwrap().is_empty());
        std::fs::write(&path, b"bytes").unwrap();
        assert_eq!(&*Mapped::open(&path).unwrap(), b"bytes");
        assert!(Mapped::open(&dir.path().join("none")).unwrap_err().is_not_found());
    }
}
