//! Memory of this process that is only a copy of files.

use std::ffi::c_void;

use crate::{Error, Result};

/// Gives back what was read of the program's own file, and of its libraries, until it is read again: a start touches far more of them
/// (the linker's tables, most of all) than a process needs that then waits. What was changed in memory stays.
pub fn forget_clean() -> Result<()> {
    let text =
        std::fs::read_to_string("/proc/self/smaps").map_err(|e| Error::from_io("read", "/proc/self/smaps", &e))?;
    for (start, length) in clean(&text) {
        // SAFETY: the range is one mapping of a file that may not be written to, and no page of it was changed: the kernel reads the
        // same bytes again. (The linker writes before it takes that right away: such a mapping has pages that are anonymous.)
        let done = unsafe { libc::madvise(start as *mut c_void, length, libc::MADV_DONTNEED) };
        if done != 0 {
            return Err(Error::last("madvise", ""));
        }
    }
    Ok(())
}

/// The mappings of files that may not be written to and that have no page of our own, of what `/proc/self/smaps` says.
fn clean(smaps: &str) -> Vec<(usize, usize)> {
    let (mut found, mut at) = (Vec::new(), None);
    for line in smaps.lines() {
        if let Some(range) = header(line) {
            at = range;
        } else if let (Some(range), Some(("Anonymous", "0 kB"))) =
            (at, line.split_once(':').map(|(name, value)| (name, value.trim())))
        {
            found.push(range);
            at = None;
        }
    }
    found
}

/// `55d0-55e0 r-xp 00001000 08:01 1234 /path`: `None` where it is no such line, `Some(None)` where the mapping is not meant.
fn header(line: &str) -> Option<Option<(usize, usize)>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let rights = words.next()?;
    let is_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    let is_meant = is_file && rights.ends_with('p') && !rights.contains('w') && end > start;
    Some(is_meant.then(|| (start, end - start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unchanged_parts_of_files_go() {
        let smaps = "\
1000-3000 r-xp 00000000 08:01 7  /bin/x
Rss: 8 kB
Anonymous:             0 kB
3000-4000 r--p 00002000 08:01 7  /bin/x
Anonymous:             4 kB
4000-5000 rw-p 00003000 08:01 7  /bin/x
Anonymous:             0 kB
5000-6000 r--p 00000000 00:00 0  [vvar]
Anonymous:             0 kB
6000-7000 r--s 00000000 08:01 8  /shared
Anonymous:             0 kB
7000-8000 ---p 00000000 00:00 0
Anonymous:             0 kB
";
        assert_eq!(clean(smaps), [(0x1000, 0x2000)]);
    }

    #[test]
    fn the_program_goes_on() {
        forget_clean().unwrap();
        assert!(std::env::args().count() > 0);
    }
}
