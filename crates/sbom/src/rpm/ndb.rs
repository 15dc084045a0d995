//! `Packages.db`: SUSE's database, slots that point to blobs. All numbers little-endian.

use std::io;

use super::MAX_HEADER;
use crate::Content;
use crate::bounded::{at, damaged, u32_at};

const MAGIC: &[u8] = b"RpmP";
const SLOT: &[u8] = b"Slot";
const BLOB: &[u8] = b"BlbS";
const PAGE: usize = 4096;
/// A slot, and the unit in which slots count offsets.
const UNIT: usize = 16;
/// Pages of slots: a database of a million packages has this many.
const MAX_PAGES: usize = 4096;

/// Calls `take` with each header of the database.
pub(super) fn headers(content: &mut dyn Content, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let head = at(content, 0, 2 * UNIT)?;
    if !head.starts_with(MAGIC) {
        return Err(damaged("not a database of packages"));
    }
    let pages = u32_at(&head, 12, true)? as usize;
    if pages > MAX_PAGES {
        return Err(damaged(format!("{pages} pages of slots")));
    }
    // The head takes the place of the first two slots.
    let slots = at(content, 0, pages * PAGE)?;
    for slot in slots.chunks_exact(UNIT).skip(2) {
        if !slot.starts_with(SLOT) {
            return Err(damaged("a slot is damaged"));
        }
        let (package, block) = (u32_at(slot, 4, true)?, u32_at(slot, 8, true)?);
        if package == 0 {
            continue;
        }
        let offset = u64::from(block) * UNIT as u64;
        let blob = at(content, offset, UNIT)?;
        let length = u32_at(&blob, 12, true)? as usize;
        if !blob.starts_with(BLOB) || u32_at(&blob, 4, true)? != package || length > MAX_HEADER {
            return Err(damaged(format!("the blob of package {package} is damaged")));
        }
        take(&at(content, offset + UNIT as u64, length)?)?;
    }
    Ok(())
}
