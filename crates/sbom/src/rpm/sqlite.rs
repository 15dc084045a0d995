//! `rpmdb.sqlite`: the table `Packages` of an SQLite file, read without SQLite. See "Database File Format" of its makers.

use std::collections::HashSet;
use std::io;

use super::{MAX_ALL, MAX_HEADER};
use crate::Content;
use crate::bounded::{at, damaged, number, u16_at, u32_at};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// The head of a file, which is the beginning of its first page.
const HEAD: usize = 100;
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

/// An open file.
struct Pages<'c> {
    content: &'c mut dyn Content,
    size: usize,
    /// A page without what is reserved at its end.
    usable: usize,
    /// How many bytes of rows may still be read: rows may point to the same pages.
    left: usize,
}

/// A value of a row.
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
    Other,
}

/// Calls `take` with each header of the database.
pub(super) fn headers(content: &mut dyn Content, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let head = at(content, 0, HEAD)?;
    if !head.starts_with(MAGIC) {
        return Err(damaged("not an SQLite file"));
    }
    let size = match u16_at(&head, 16, false)? {
        1 => 65_536,
        size => size,
    };
    let usable = size.checked_sub(usize::from(head[20])).filter(|usable| *usable >= 480 && size.is_power_of_two());
    let usable = usable.ok_or_else(|| damaged(format!("pages of {size} bytes")))?;
    let mut pages = Pages { content, size, usable, left: MAX_ALL };
    let mut root = None;
    pages.rows(1, &mut |row| {
        // type, name, tbl_name, rootpage, sql
        if let [Value::Bytes(kind), Value::Bytes(name), _, Value::Number(page), ..] = row
            && kind == b"table"
            && name == b"Packages"
        {
            root = u32::try_from(*page).ok();
        }
        Ok(())
    })?;
    let root = root.ok_or_else(|| damaged("no table Packages"))?;
    pages.rows(root, &mut |row| match row.get(1) {
        // hnum, blob
        Some(Value::Bytes(blob)) => take(blob),
        _ => Ok(()),
    })
}

impl Pages<'_> {
    fn page(&mut self, number: u32) -> io::Result<Vec<u8>> {
        let before = number.checked_sub(1).ok_or_else(|| damaged("page 0 is asked for"))?;
        at(self.content, u64::from(before) * self.size as u64, self.size)
    }

    /// Calls `take` with the rows of the table that begins on a page.
    fn rows(&mut self, root: u32, take: &mut dyn FnMut(&[Value]) -> io::Result<()>) -> io::Result<()> {
        let mut open = vec![root];
        let mut seen = HashSet::new();
        while let Some(number) = open.pop() {
            if !seen.insert(number) {
                return Err(damaged(format!("page {number} is in its table twice")));
            }
            let page = self.page(number)?;
            let start = if number == 1 { HEAD } else { 0 };
            let cells = u16_at(&page, start + 3, false)?;
            let kind = page[start];
            let pointers = start + if kind == INTERIOR { 12 } else { 8 };
            let mut below = Vec::new();
            for cell in 0..cells {
                let cell = u16_at(&page, pointers + 2 * cell, false)?;
                match kind {
                    INTERIOR => below.push(u32_at(&page, cell, false)?),
                    LEAF => take(&record(&self.payload(&page, cell)?)?)?,
                    other => return Err(damaged(format!("page {number} is of kind {other}"))),
                }
            }
            if kind == INTERIOR {
                below.push(u32_at(&page, start + 8, false)?);
            }
            open.extend(below.into_iter().rev());
        }
        Ok(())
    }

    /// The bytes of a row, whose end may stand on pages of its own.
    fn payload(&mut self, page: &[u8], cell: usize) -> io::Result<Vec<u8>> {
        let (size, used) = varint(page, cell)?;
        let (_, rowid) = varint(page, cell + used)?;
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_HEADER + 64);
        let size = size.ok_or_else(|| damaged("a row is too large"))?;
        self.left = self.left.checked_sub(size).ok_or_else(|| damaged("its rows are too large"))?;
        let start = cell + used + rowid;
        let here = self.stored_here(size);
        let end = start.checked_add(here).ok_or_else(|| damaged("a row out of range"))?;
        let mut bytes = page.get(start..end).ok_or_else(|| damaged("a row is cut off"))?.to_vec();
        let mut next = if here < size { u32_at(page, end, false)? } else { 0 };
        while bytes.len() < size {
            let page = self.page(next)?;
            next = u32_at(&page, 0, false)?;
            let count = (size - bytes.len()).min(self.usable - 4);
            bytes.extend_from_slice(&page[4..4 + count]);
        }
        Ok(bytes)
    }

    /// How much of a row of this size stands on its table's page.
    fn stored_here(&self, size: usize) -> usize {
        let most = self.usable - 35;
        if size <= most {
            return size;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let rest = least + (size - least) % (self.usable - 4);
        if rest <= most { rest } else { least }
    }
}

/// A number of one to nine bytes, and how many it took.
fn varint(bytes: &[u8], offset: usize) -> io::Result<(u64, usize)> {
    let mut value = 0u64;
    for used in 0..9 {
        let byte = *bytes.get(offset.saturating_add(used)).ok_or_else(|| damaged("a number is cut off"))?;
        if used == 8 {
            return Ok(((value << 8) | u64::from(byte), 9));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok((value, used + 1));
        }
    }
    Err(damaged("a number without end"))
}

/// The values of a row.
fn record(bytes: &[u8]) -> io::Result<Vec<Value>> {
    let (head, mut at) = varint(bytes, 0)?;
    let head = usize::try_from(head)
        .ok()
        .filter(|head| *head <= bytes.len())
        .ok_or_else(|| damaged("a row's head is cut off"))?;
    let mut body = head;
    let mut values = Vec::new();
    while at < head && values.len() < 16 {
        let (kind, used) = varint(bytes, at)?;
        at += used;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).unwrap_or_default(),
            5 => 6,
            6 | 7 => 8,
            _ => usize::try_from(kind.saturating_sub(12) / 2).map_err(|_| damaged("a value is too large"))?,
        };
        let end =
            body.checked_add(length).filter(|end| *end <= bytes.len()).ok_or_else(|| damaged("a value is cut off"))?;
        values.push(match kind {
            1..=6 => Value::Number(number(bytes, body, length, false)?),
            8 | 9 => Value::Number(kind - 8),
            12.. => Value::Bytes(bytes[body..end].to_vec()),
            _ => Value::Other,
        });
        body = end;
    }
    Ok(values)
}
