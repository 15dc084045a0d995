//! Writing a file so that long runs of zeros take no space.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// The unit that is left out: the block of every common file system.
const BLOCK: usize = 4096;

/// A file being written from its beginning to its end.
#[derive(Debug)]
pub(super) struct SparseFile {
    file: File,
    position: u64,
    /// Whether the last thing was a hole, so that the length has to be set at the end.
    ends_in_hole: bool,
}

impl SparseFile {
    pub(super) fn new(file: File) -> SparseFile {
        SparseFile { file, position: 0, ends_in_hole: false }
    }

    /// Passes over `length` bytes, which will read as zeros.
    pub(super) fn hole(&mut self, length: u64) -> io::Result<()> {
        self.position += length;
        self.file.seek(SeekFrom::Start(self.position))?;
        self.ends_in_hole = length > 0 || self.ends_in_hole;
        Ok(())
    }

    /// Writes `bytes`, passing over whole blocks of zeros.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let zeros = self.zero_blocks(rest);
            if zeros > 0 {
                self.hole(zeros as u64)?;
                rest = &rest[zeros..];
                continue;
            }
            let end = self.data_until(rest);
            self.file.write_all(&rest[..end])?;
            self.position += end as u64;
            self.ends_in_hole = false;
            rest = &rest[end..];
        }
        Ok(())
    }

    /// Ends the file, and gives it back.
    pub(super) fn finish(self) -> io::Result<File> {
        if self.ends_in_hole {
            self.file.set_len(self.position)?;
        }
        Ok(self.file)
    }

    /// How many bytes to the next block of the file.
    fn to_boundary(&self) -> usize {
        let within = (self.position % BLOCK as u64) as usize;
        if within == 0 { 0 } else { BLOCK - within }
    }

    /// The length of the whole blocks of zeros with which `bytes` begins, at a block boundary of the file.
    fn zero_blocks(&self, bytes: &[u8]) -> usize {
        if self.to_boundary() != 0 {
            return 0;
        }
        bytes.chunks_exact(BLOCK).take_while(|block| is_zero(block)).count() * BLOCK
    }

    /// Where the next whole block of zeros begins in `bytes`, or their end.
    fn data_until(&self, bytes: &[u8]) -> usize {
        let first = self.to_boundary().min(bytes.len());
        let blocks = bytes[first..].chunks_exact(BLOCK).position(is_zero);
        blocks.map_or(bytes.len(), |blocks| first + blocks * BLOCK)
    }
}

/// Nearly every block that isn't zero shows it in its first bytes.
fn is_zero(block: &[u8]) -> bool {
    block[..16] == [0; 16] && block.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn zeros_become_holes_and_nothing_is_lost() {
        let mut content = vec![1; 5000];
        content.extend(vec![0; 1 << 20]);
        content.extend([2; 10]);
        content.extend(vec![0; 300_000]);
        for step in [content.len(), 4096, 5000, 65_536, 100_001] {
            let path = tempfile::NamedTempFile::new().unwrap();
            let mut file = SparseFile::new(path.reopen().unwrap());
            content.chunks(step).for_each(|chunk| file.write(chunk).unwrap());
            let file = file.finish().unwrap();
            assert_eq!(std::fs::read(path.path()).unwrap(), content, "{step}");
            if step > 60_000 {
                assert!(file.metadata().unwrap().blocks() * 512 < 100_000, "{step}");
            }
        }
    }

    #[test]
    fn a_file_of_nothing_but_hole_has_its_length() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let mut file = SparseFile::new(path.reopen().unwrap());
        file.hole(1 << 30).unwrap();
        assert_eq!(file.finish().unwrap().metadata().unwrap().len(), 1 << 30);
    }
}
