//! Where the last lines of a log begin: the newest files are gone through from their beginnings, and only as many as it takes.

use std::collections::VecDeque;

use super::reader::{Cursor, Format};
use super::series::Series;
use super::{LogError, Source};

/// Where a line begins: its entry, and how many bytes of the entry belong to lines before it.
type Mark = (u64, usize);

/// A cursor at the entry where the last lines begin, and how many of its bytes belong to lines before. `None` where there is no log.
pub(super) fn place(series: &Series, format: Format, lines: usize) -> Result<(Option<Cursor>, usize), LogError> {
    let mut missing = lines;
    let mut best = None;
    for part in series.parts()?.into_iter().rev() {
        let mut cursor = Cursor::new(part.file, series.path().to_path_buf())?;
        let (marks, end) = marks(&mut cursor, format, missing)?;
        missing -= marks.len();
        let (offset, skip) = marks.front().copied().unwrap_or((end, 0));
        if best.is_none() || !marks.is_empty() {
            cursor.seek(offset);
            best = Some((cursor, skip));
        }
        if missing == 0 {
            break;
        }
    }
    Ok(best.map_or((None, 0), |(cursor, skip)| (Some(cursor), skip)))
}

/// Where the last lines of a file begin, and where it ends.
fn marks(cursor: &mut Cursor, format: Format, lines: usize) -> Result<(VecDeque<Mark>, u64), LogError> {
    let mut marks = VecDeque::new();
    // Whether the next byte of a stream begins a line.
    let mut begins = [true; 2];
    while let Some(entry) = cursor.next(format)? {
        let begins = &mut begins[if entry.source == Source::Stdout { 0 } else { 1 }];
        let mut put = |at: usize| {
            marks.push_back((entry.offset, at));
            if marks.len() > lines {
                marks.pop_front();
            }
        };
        if *begins && !entry.bytes.is_empty() {
            put(0);
        }
        for (at, _) in entry.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            if at + 1 < entry.bytes.len() {
                put(at + 1);
            }
        }
        *begins = entry.bytes.ends_with(b"\n");
    }
    Ok((marks, cursor.position()))
}
