//! `Packages`: the hash of Berkeley DB that rpm used until 2020, in either order of bytes.

use std::io;

use super::MAX_HEADER;
use crate::Content;
use crate::bounded::{at, damaged, u16_at, u32_at};

/// What a hash's first page has at byte 12.
const MAGIC: u32 = 0x0006_1561;
/// The head of every page.
const HEAD: usize = 26;
const UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const SORTED: u8 = 13;
/// A value on its page, and one on pages of its own.
const INLINE: u8 = 1;
const ELSEWHERE: u8 = 3;
/// Pages of a file; rpm made them 4 KiB large.
const MAX_PAGES: u32 = 1 << 20;

struct Pages<'c> {
    content: &'c mut dyn Content,
    size: usize,
    last: u32,
    little: bool,
}

/// Calls `take` with each header of the database.
pub(super) fn headers(content: &mut dyn Content, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let head = at(content, 0, 72)?;
    let little = match (u32_at(&head, 12, true)?, u32_at(&head, 12, false)?) {
        (MAGIC, _) => true,
        (_, MAGIC) => false,
        _ => return Err(damaged("not a hash of Berkeley DB")),
    };
    let (size, last) = (u32_at(&head, 20, little)? as usize, u32_at(&head, 32, little)?);
    if !(512..=65_536).contains(&size) || !size.is_power_of_two() || last > MAX_PAGES {
        return Err(damaged(format!("{last} pages of {size} bytes")));
    }
    let mut pages = Pages { content, size, last, little };
    for number in 1..=last {
        let page = pages.page(number)?;
        if matches!(page[25], UNSORTED | SORTED) {
            pages.values(&page, take)?;
        }
    }
    Ok(())
}

impl Pages<'_> {
    fn page(&mut self, number: u32) -> io::Result<Vec<u8>> {
        if number == 0 || number > self.last {
            return Err(damaged(format!("page {number} of {}", self.last)));
        }
        at(self.content, u64::from(number) * self.size as u64, self.size)
    }

    /// The values of a page: every other item, from its end to its beginning.
    fn values(&mut self, page: &[u8], take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let entries = u16_at(page, 20, self.little)?;
        let little = self.little;
        let offset = |item: usize| u16_at(page, HEAD + 2 * item, little);
        for item in (1..entries).step_by(2) {
            let (start, end) = (offset(item)?, offset(item - 1)?);
            let value = page
                .get(start..end)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| damaged("an item out of its page"))?;
            match value[0] {
                // Four bytes count the packages; a header has more.
                INLINE if value.len() > 5 => take(&value[1..])?,
                ELSEWHERE => {
                    let (first, length) = (u32_at(value, 4, self.little)?, u32_at(value, 8, self.little)? as usize);
                    take(&self.chained(first, length)?)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A value that stands on pages of its own.
    fn chained(&mut self, first: u32, length: usize) -> io::Result<Vec<u8>> {
        if length > MAX_HEADER {
            return Err(damaged("a header is too large"));
        }
        let mut bytes = Vec::new();
        let mut next = first;
        while bytes.len() < length {
            let page = self.page(next)?;
            let count = u16_at(&page, 22, self.little)?.min(self.size - HEAD);
            if page[25] != OVERFLOW || count == 0 {
                return Err(damaged(format!("page {next} goes on with nothing")));
            }
            bytes.extend_from_slice(&page[HEAD..HEAD + count]);
            next = u32_at(&page, 16, self.little)?;
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}
