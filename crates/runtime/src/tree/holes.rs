//! Writing a file so that long runs of zeros take no space.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// The unit that is left out: the block of every common file system.
const BLOCK: usize = 4096;

/// A file being written from its beginning to its end.
#[derive(Debug)]
pub(super) struct SparseFile<F = File> {
    file: F,
    position: u64,
    /// Whether the last thing was a hole, so that the length has to be set at the end.
    ends_in_hole: bool,
}

impl<F: Borrow<File>> SparseFile<F> {
    pub(super) fn new(file: F) -> SparseFile<F> {
        SparseFile { file, position: 0, ends_in_hole: false }
    }

    /// Passes over `length` bytes, which will read as zeros.
    pub(super) fn hole(&mut self, length: u64) -> io::Result<()> {
        self.position += length;
        self.file.borrow().seek(SeekFrom::Start(self.position))?;
        self.ends_in_hole = length > 0 || self.ends_in_hole;
        Ok(())
    }

    /// Writes `bytes`, passing over blocks of zeros.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let zeros = self.zeros(rest);
            if zeros > 0 {
                self.hole(zeros as u64)?;
                rest = &rest[zeros..];
                continue;
            }
            let end = self.data(rest);
            self.file.borrow().write_all(&rest[..end])?;
            self.position += end as u64;
            self.ends_in_hole = false;
            rest = &rest[end..];
        }
        Ok(())
    }

    /// Ends the file, and gives it back.
    pub(super) fn finish(self) -> io::Result<F> {
        if self.ends_in_hole {
            self.file.borrow().set_len(self.position)?;
        }
        Ok(self.file)
    }

    /// How many bytes of `bytes` to take at a time: up to the next block boundary of the file.
    fn piece(&self, done: usize, bytes: &[u8]) -> usize {
        let within = ((self.position + done as u64) % BLOCK as u64) as usize;
        (BLOCK - within).min(bytes.len() - done)
    }

    /// The length of the zeros with which `bytes` begins, as far as they are whole blocks of the file (or the beginning
    /// or end of one, where `bytes` begin and end).
    fn zeros(&self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let piece = self.piece(done, bytes);
            if !is_zero(&bytes[done..done + piece]) {
                break;
            }
            done += piece;
        }
        done
    }

    /// Where the next such zeros begin, or the end of `bytes`.
    fn data(&self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let piece = self.piece(done, bytes);
            if is_zero(&bytes[done..done + piece]) {
                break;
            }
            done += piece;
        }
        done
    }
}

/// Nearly every block that isn't zero shows it in its first bytes.
fn is_zero(piece: &[u8]) -> bool {
    let (words, rest) = piece.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && rest.iter().all(|byte| *byte == 0)
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
            assert!(file.metadata().unwrap().blocks() * 512 < 100_000, "{step}");
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
