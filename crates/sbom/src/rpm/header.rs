//! One package's header: an index of tags over a store of values, all numbers big-endian.

use std::io;

use crate::bounded::{damaged, u32_at, words};
use crate::{Ecosystem, Package};

/// An entry of the index: tag, type, offset, count.
const ENTRY: usize = 16;
/// Entries of a header; rpm's own bound.
const MAX_ENTRIES: usize = 0xffff;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const VENDOR: u32 = 1011;
const LICENCE: u32 = 1014;
const URL: u32 = 1020;
const ARCH: u32 = 1022;
const SOURCE: u32 = 1044;

const INT32: u32 = 4;
const STRING: u32 = 6;
const TRANSLATED: u32 = 9;

/// The values of a header.
struct Header<'b> {
    index: &'b [u8],
    store: &'b [u8],
}

impl<'b> Header<'b> {
    fn read(blob: &'b [u8]) -> io::Result<Self> {
        let entries = u32_at(blob, 0, false)? as usize;
        let size = u32_at(blob, 4, false)? as usize;
        if entries > MAX_ENTRIES {
            return Err(damaged(format!("a header of {entries} entries")));
        }
        let start = 8 + entries * ENTRY;
        let end = start.checked_add(size).ok_or_else(|| damaged("a header too large"))?;
        match (blob.get(8..start), blob.get(start..end)) {
            (Some(index), Some(store)) => Ok(Self { index, store }),
            _ => Err(damaged("a header is cut off")),
        }
    }

    /// The type of a tag's value, and the store from there on.
    fn find(&self, tag: u32) -> Option<(u32, &'b [u8])> {
        let row = self.index.chunks_exact(ENTRY).find(|row| u32_at(row, 0, false).is_ok_and(|found| found == tag))?;
        let offset = u32_at(row, 8, false).ok()? as usize;
        Some((u32_at(row, 4, false).ok()?, self.store.get(offset..)?))
    }

    fn string(&self, tag: u32) -> Option<String> {
        let (kind, value) = self.find(tag)?;
        let value = value.split(|byte| *byte == 0).next()?;
        matches!(kind, STRING | TRANSLATED).then(|| words(value)).flatten()
    }

    fn number(&self, tag: u32) -> Option<u32> {
        let (kind, value) = self.find(tag)?;
        if kind == INT32 { u32_at(value, 0, false).ok() } else { None }
    }
}

/// The package that a header describes.
pub(super) fn package(blob: &[u8], path: &str) -> io::Result<Package> {
    let header = Header::read(blob)?;
    let name = header.string(NAME).ok_or_else(|| damaged("a header without a name"))?;
    let mut version = header.string(VERSION).unwrap_or_default();
    if let Some(release) = header.string(RELEASE) {
        version = format!("{version}-{release}");
    }
    if let Some(epoch) = header.number(EPOCH) {
        version = format!("{epoch}:{version}");
    }
    Ok(Package {
        version,
        architecture: header.string(ARCH),
        source: header.string(SOURCE),
        licence: header.string(LICENCE),
        supplier: header.string(VENDOR),
        homepage: header.string(URL),
        ..Package::new(Ecosystem::Rpm, name, path)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header of strings, and an epoch.
    pub(crate) fn blob(strings: &[(u32, &str)], epoch: Option<u32>) -> Vec<u8> {
        let (mut index, mut store) = (Vec::new(), Vec::new());
        let mut entry = |tag: u32, kind: u32, offset: usize| {
            let offset = u32::try_from(offset).unwrap();
            [tag, kind, offset, 1].iter().for_each(|word| index.extend(word.to_be_bytes()));
        };
        if let Some(epoch) = epoch {
            entry(EPOCH, INT32, 0);
            store.extend(epoch.to_be_bytes());
        }
        for (tag, value) in strings {
            entry(*tag, STRING, store.len());
            store.extend(value.bytes());
            store.push(0);
        }
        let sizes = [index.len() / ENTRY, store.len()].map(|size| u32::try_from(size).unwrap().to_be_bytes());
        [sizes.concat(), index, store].concat()
    }

    #[test]
    fn names_and_versions() {
        let whole = blob(&[(NAME, "bash"), (VERSION, "5.2"), (RELEASE, "1.fc40"), (ARCH, "x86_64")], Some(2));
        let package = package(&whole, "p").unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("bash", "2:5.2-1.fc40"));
        for length in 0..whole.len() {
            assert!(super::package(&whole[..length], "p").is_err(), "{length}");
        }
    }
}
