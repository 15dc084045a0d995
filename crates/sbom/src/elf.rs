//! Programs: sections by name, and bytes by address. Only what lists of packages are found by.

use std::io;

use crate::Content;
use crate::bounded::{at, damaged, number, u16_at, u32_at};

/// Sections of one program; the largest known has a few thousand.
const MAX_SECTIONS: u64 = 65_536;
/// Segments of one program.
const MAX_SEGMENTS: u64 = 4096;
/// The names of sections.
const MAX_NAMES: u64 = 4 << 20;

/// A program.
pub(crate) struct Elf<'c> {
    content: Box<dyn Content + 'c>,
    wide: bool,
    pub(crate) little: bool,
    sections: Vec<Section>,
    segments: Vec<Segment>,
}

struct Section {
    name: Vec<u8>,
    /// Whether the file holds its bytes.
    stored: bool,
    address: u64,
    offset: u64,
    size: u64,
}

struct Segment {
    writable: bool,
    executable: bool,
    address: u64,
    offset: u64,
    size: u64,
}

impl<'c> Elf<'c> {
    /// Reads the tables of a program; `None` where it is none.
    pub(crate) fn read(mut content: Box<dyn Content + 'c>) -> io::Result<Option<Self>> {
        let Ok(ident) = at(&mut content, 0, 20) else { return Ok(None) };
        if !ident.starts_with(b"\x7fELF") {
            return Ok(None);
        }
        let wide = match ident[4] {
            1 => false,
            2 => true,
            _ => return Ok(None),
        };
        let little = ident[5] != 2;
        let head = at(&mut content, 0, if wide { 64 } else { 52 })?;
        let mut elf = Self { content, wide, little, sections: Vec::new(), segments: Vec::new() };
        elf.read_segments(&head)?;
        elf.read_sections(&head)?;
        Ok(Some(elf))
    }

    /// Of two places in a table, the one of this program's width, as a number of that width.
    fn word(&self, bytes: &[u8], narrow: usize, wide: usize) -> io::Result<u64> {
        match self.wide {
            true => number(bytes, wide, 8, self.little),
            false => number(bytes, narrow, 4, self.little),
        }
    }

    /// Both widths of a field of two bytes in the program's head.
    fn short(&self, head: &[u8], narrow: usize, wide: usize) -> io::Result<u64> {
        Ok(u16_at(head, if self.wide { wide } else { narrow }, self.little)? as u64)
    }

    fn table(&mut self, offset: u64, entry: u64, count: u64) -> io::Result<Vec<Vec<u8>>> {
        let size = usize::try_from(entry).unwrap_or(0);
        if count == 0 || size == 0 {
            return Ok(Vec::new());
        }
        let length = usize::try_from(entry.saturating_mul(count)).map_err(|_| damaged("a table too large"))?;
        Ok(at(&mut self.content, offset, length)?.chunks_exact(size).map(<[u8]>::to_vec).collect())
    }

    fn read_segments(&mut self, head: &[u8]) -> io::Result<()> {
        let (offset, entry, count) =
            (self.word(head, 28, 32)?, self.short(head, 42, 54)?, self.short(head, 44, 56)?.min(MAX_SEGMENTS));
        for row in self.table(offset, entry, count)? {
            if u32_at(&row, 0, self.little)? != 1 {
                continue;
            }
            let flags = u32_at(&row, if self.wide { 4 } else { 24 }, self.little)?;
            self.segments.push(Segment {
                writable: flags & 2 != 0,
                executable: flags & 1 != 0,
                offset: self.word(&row, 4, 8)?,
                address: self.word(&row, 8, 16)?,
                size: self.word(&row, 16, 32)?,
            });
        }
        Ok(())
    }

    fn read_sections(&mut self, head: &[u8]) -> io::Result<()> {
        let (offset, entry) = (self.word(head, 32, 40)?, self.short(head, 46, 58)?);
        let (mut count, mut names) = (self.short(head, 48, 60)?, self.short(head, 50, 62)?);
        if offset == 0 {
            return Ok(());
        }
        if count == 0 || names == 0xffff {
            // Too many for the head: the first section says how many.
            let first = self.table(offset, entry, 1)?;
            let first = first.first().ok_or_else(|| damaged("no section"))?;
            if count == 0 {
                count = self.word(first, 20, 32)?;
            }
            if names == 0xffff {
                names = u64::from(u32_at(first, if self.wide { 40 } else { 24 }, self.little)?);
            }
        }
        if count > MAX_SECTIONS {
            return Err(damaged(format!("{count} sections")));
        }
        let rows = self.table(offset, entry, count)?;
        let strings = match usize::try_from(names).ok().and_then(|names| rows.get(names)) {
            Some(row) => self.strings(row)?,
            None => return Ok(()),
        };
        for row in rows {
            let name = usize::try_from(u32_at(&row, 0, self.little)?).unwrap_or(usize::MAX);
            let name = strings.get(name..).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
            self.sections.push(Section {
                // Names that matter are short.
                name: name[..name.len().min(64)].to_vec(),
                stored: u32_at(&row, 4, self.little)? != 8,
                address: self.word(&row, 12, 16)?,
                offset: self.word(&row, 16, 24)?,
                size: self.word(&row, 20, 32)?,
            });
        }
        Ok(())
    }

    fn strings(&mut self, row: &[u8]) -> io::Result<Vec<u8>> {
        let (offset, size) = (self.word(row, 16, 24)?, self.word(row, 20, 32)?);
        if size > MAX_NAMES {
            return Err(damaged("the names of its sections are too long"));
        }
        at(&mut self.content, offset, usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// A section's bytes, of at most `limit`.
    pub(crate) fn section(&mut self, name: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(found) = self.sections.iter().find(|section| section.name == name && section.stored) else {
            return Ok(None);
        };
        if found.size > limit {
            return Err(damaged(format!("section {} is too large", String::from_utf8_lossy(name))));
        }
        at(&mut self.content, found.offset, usize::try_from(found.size).unwrap_or(usize::MAX)).map(Some)
    }

    /// Where a section lies, or else the data that the program may write: an address and a size.
    pub(crate) fn data(&self, name: &[u8]) -> Option<(u64, u64)> {
        let section = self.sections.iter().find(|section| section.name == name);
        section.map(|section| (section.address, section.size)).or_else(|| {
            let data = self.segments.iter().find(|segment| segment.writable && !segment.executable)?;
            Some((data.address, data.size))
        })
    }

    /// Bytes at an address: `length`, or fewer where its segment ends.
    pub(crate) fn bytes(&mut self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let holds = |segment: &&Segment| address >= segment.address && address - segment.address < segment.size;
        let segment = self.segments.iter().find(holds).ok_or_else(|| damaged("an address outside of the program"))?;
        let within = address - segment.address;
        let left = usize::try_from(segment.size - within).unwrap_or(usize::MAX);
        let offset = segment.offset.checked_add(within).ok_or_else(|| damaged("an address out of range"))?;
        at(&mut self.content, offset, left.min(length))
    }

    /// How many bytes an address has.
    pub(crate) fn width(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }
}
