//! What the last build knew: content digests by path, inode and times.
//!
//! One file, mapped: a header, fixed records in the order of a walk, then the bytes they point to. It is written whole,
//! renamed into place and not synced; a file from before the last boot is believed only if its checksum holds.
//!
//! As in git's index, a file that was written within a clock tick of being read is not remembered, since a later write in
//! the same tick would not show in its times.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use layer::compare_paths;
use oci::{Digest, Hasher};
use sys::mapped::Mapped;

use super::tree::Ident;

const MAGIC: &[u8; 8] = b"ESTSTAT1";
/// How the name of a file that is being written ends, after its writer's number.
pub(crate) const PARTIAL: &str = "partial";
/// Magic, count, length of the bytes, boot id (padded), checksum of all that follows.
const HEADER: usize = 8 + 8 + 8 + 40 + 32;
/// Path (offset, length), attributes (offset, length), dev, inode, size, mtime, ctime, mode, flags, digest.
const RECORD: usize = 16 + 40 + 8 + 32;
/// The flag of a record with a digest.
const HAS_DIGEST: u32 = 1;
/// The kernel stamps files by its tick, at most 10 ms long.
const TICK: i64 = 20_000_000;
/// Where times have no nanoseconds: the coarsest file system in use keeps two seconds.
const COARSE: i64 = 2_000_000_000;

/// Attributes by name.
pub(super) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is kept of one file or folder.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) ident: Ident,
    pub(super) digest: Option<Digest>,
    pub(super) xattrs: Xattrs,
}

/// A stat cache file, open.
#[derive(Debug)]
pub(super) struct StatCache {
    map: Mapped,
    count: usize,
}

impl StatCache {
    /// Opens the file; `None` when there is none, or none that can be believed.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let map = Mapped::open(path).ok()?;
        let header = map.get(..HEADER)?;
        let count = usize::try_from(u64::from_le_bytes(header[8..16].try_into().ok()?)).ok()?;
        let bytes = usize::try_from(u64::from_le_bytes(header[16..24].try_into().ok()?)).ok()?;
        let length = count.checked_mul(RECORD)?.checked_add(bytes)?.checked_add(HEADER)?;
        let sound = &header[..8] == MAGIC && map.len() == length;
        let same_boot = boot().is_some_and(|boot| header[24..64] == boot);
        let checked = || Digest::sha256(&map[HEADER..]).as_bytes() == &header[64..96];
        (sound && (same_boot || checked())).then_some(Self { map, count })
    }

    /// Looks a path up. `hint` is where the last look-up ended: a walk's next path is there.
    pub(super) fn find(&self, path: &[u8], hint: &mut usize) -> Option<Kept> {
        let at = match self.path(*hint) {
            Some(there) if there == path => *hint,
            _ => self.search(path)?,
        };
        *hint = at + 1;
        self.kept(at)
    }

    /// All records in order.
    pub(super) fn records(&self) -> impl Iterator<Item = (&[u8], Kept)> {
        (0..self.count).filter_map(|at| Some((self.path(at)?, self.kept(at)?)))
    }

    fn search(&self, path: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match compare_paths(self.path(middle)?, path) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    fn record(&self, at: usize) -> Option<&[u8]> {
        if at >= self.count {
            return None;
        }
        let start = HEADER + at * RECORD;
        self.map.get(start..start + RECORD)
    }

    fn bytes(&self, record: &[u8], field: usize) -> Option<&[u8]> {
        let heap = &self.map[HEADER + self.count * RECORD..];
        let start = number32(record, field) as usize;
        heap.get(start..start.checked_add(number32(record, field + 4) as usize)?)
    }

    fn path(&self, at: usize) -> Option<&[u8]> {
        self.bytes(self.record(at)?, 0)
    }

    fn kept(&self, at: usize) -> Option<Kept> {
        let record = self.record(at)?;
        let number = |field| u64::from_le_bytes(record[field..field + 8].try_into().unwrap_or_default());
        let ident = Ident {
            dev: number(16),
            ino: number(24),
            size: number(32),
            mtime: number(40).cast_signed(),
            ctime: number(48).cast_signed(),
            mode: number32(record, 56),
        };
        let digest = (number32(record, 60) & HAS_DIGEST != 0)
            .then(|| record[64..96].try_into().map(Digest::from_sha256_bytes).ok())
            .flatten();
        Some(Kept { ident, digest, xattrs: decode_xattrs(self.bytes(record, 8)?)? })
    }
}

fn number32(record: &[u8], field: usize) -> u32 {
    u32::from_le_bytes(record[field..field + 4].try_into().unwrap_or_default())
}

/// Writes a stat cache file of `records`, which are in order.
pub(super) fn write<'a>(path: &Path, records: impl Iterator<Item = (&'a [u8], &'a Kept)>) -> io::Result<()> {
    let mut table = Vec::new();
    let mut heap = Vec::new();
    let mut count = 0_u64;
    for (name, kept) in records {
        count += 1;
        put_bytes(&mut table, &mut heap, |heap| heap.extend_from_slice(name))?;
        put_bytes(&mut table, &mut heap, |heap| encode_xattrs(&kept.xattrs, heap))?;
        let Ident { dev, ino, size, mtime, ctime, mode } = kept.ident;
        for number in [dev, ino, size, mtime.cast_unsigned(), ctime.cast_unsigned()] {
            table.extend_from_slice(&number.to_le_bytes());
        }
        table.extend_from_slice(&mode.to_le_bytes());
        let digest = kept.digest.as_ref().filter(|digest| digest.as_bytes().len() == 32);
        table.extend_from_slice(&digest.map_or(0, |_| HAS_DIGEST).to_le_bytes());
        table.extend_from_slice(digest.map_or(&[0; 32], Digest::as_bytes));
    }
    let mut hasher = Hasher::sha256();
    hasher.update(&table);
    hasher.update(&heap);
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&count.to_le_bytes());
    header.extend_from_slice(&(heap.len() as u64).to_le_bytes());
    header.extend_from_slice(&boot().unwrap_or([0; 40]));
    header.extend_from_slice(hasher.finish().as_bytes());
    let partial = path.with_extension(format!("{}.{PARTIAL}", std::process::id()));
    let written = File::create(&partial)
        .and_then(|mut file| {
            file.write_all(&header)?;
            file.write_all(&table)?;
            file.write_all(&heap)
        })
        .and_then(|()| fs::rename(&partial, path));
    match written {
        // A collector took it for litter: what was learnt is learnt again.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            // The error that brought us here is the one to report.
            drop(fs::remove_file(&partial));
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

/// Whether a file with this ctime can be told apart from what it becomes by a write after `read_at` (nanoseconds).
pub(super) fn is_settled(ident: &Ident, read_at: i64) -> bool {
    let slack = if ident.ctime % 1_000_000_000 == 0 { COARSE } else { TICK };
    ident.ctime < read_at.saturating_sub(slack)
}

/// Nanoseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn boot() -> Option<[u8; 40]> {
    let id = store::boot_id().ok()?;
    let mut padded = [0; 40];
    padded.get_mut(..id.len())?.copy_from_slice(id.as_bytes());
    Some(padded)
}

fn put_bytes(table: &mut Vec<u8>, heap: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
    let start = heap.len();
    fill(heap);
    for number in [start, heap.len() - start] {
        // Four gigabytes of paths are no build context.
        let number = u32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        table.extend_from_slice(&number.to_le_bytes());
    }
    Ok(())
}

fn encode_xattrs(xattrs: &Xattrs, heap: &mut Vec<u8>) {
    for (name, value) in xattrs {
        for bytes in [name, value] {
            heap.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            heap.extend_from_slice(bytes);
        }
    }
}

fn decode_xattrs(mut bytes: &[u8]) -> Option<Xattrs> {
    let mut xattrs = Xattrs::new();
    while !bytes.is_empty() {
        let name = take(&mut bytes)?;
        let value = take(&mut bytes)?;
        xattrs.insert(name.to_vec(), value.to_vec());
    }
    Some(xattrs)
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (field, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(field)
}
