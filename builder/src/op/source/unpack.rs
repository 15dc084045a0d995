//! An archive as a build context: unpacked into the store, under the digest of its bytes.
//!
//! Names are resolved within the new tree and nowhere else. Owners mean nothing in a context, and devices have no place there.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use layer::{Compression, Entry, Kind, TarReader, WhiteoutNames};
use oci::HashingReader;
use store::Store;
use sys::{Root, Timestamp};

use super::SourceError;

/// Bytes that say whether something is an archive: up to the magic of a tar header.
pub const ENOUGH: usize = 262;

/// More files and folders than a context has.
const MAX_ENTRIES: u64 = 1_000_000;
/// What each takes of the store's room besides its bytes.
const INODE: u64 = 4096;

/// Whether bytes begin an archive: a tar, or anything compressed.
pub fn is_archive(start: &[u8]) -> bool {
    Compression::detect(start) != Compression::None || start.get(257..262) == Some(b"ustar")
}

/// Unpacks an archive into the store; gives its folder. The same archive again finds the same folder.
///
/// # Errors
/// [`SourceError`].
pub fn unpack(store: &Store, archive: Box<dyn Read + Send + '_>) -> Result<PathBuf, SourceError> {
    let fetching = store.fetch(&format!("archive-{}", std::process::id()))?;
    let tree = fetching.tree();
    fs::create_dir(&tree).map_err(SourceError::io("mkdir", &tree))?;
    let mut hashing = HashingReader::new(archive);
    entries(store, Box::new(&mut hashing), &Root::open(&tree)?, &tree)?;
    // What stands behind the archive's end belongs to the bytes, too.
    io::copy(&mut hashing, &mut io::sink()).map_err(SourceError::io("read the archive for", &tree))?;
    let (_, digest, _) = hashing.finish();
    let key = format!("archive-{}", digest.hex());
    match store.fetched(&key)? {
        Some(there) => Ok(there),
        None => Ok(fetching.finish(&key, false)?),
    }
}

fn entries(store: &Store, archive: Box<dyn Read + Send + '_>, root: &Root, tree: &Path) -> Result<(), SourceError> {
    let (_, plain) = Compression::detecting(archive)?;
    let mut reader = TarReader::new(plain).whiteout_names(WhiteoutNames::Plain);
    let mut folders = Vec::new();
    let mut left = MAX_ENTRIES;
    while let Some((entry, mut content)) = reader.next_entry()? {
        let path = path_of(&entry);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.filter(|parent| !root.stat(parent).is_ok_and(|found| found.is_dir()));
        // Folders that only paths tell of are made, too.
        let inodes = 1 + parent.map_or(0, |parent| parent.components().count() as u64);
        left = left.checked_sub(inodes).ok_or(SourceError::Entries(MAX_ENTRIES))?;
        store.room().take(inodes * INODE)?;
        if let Some(parent) = parent {
            root.mkdir_all(parent, 0o755)?;
        }
        let there = root.stat(path).is_ok_and(|found| found.is_dir());
        if !(there && entry.kind == Kind::Dir) && root.exists(path)? {
            root.remove_all(path)?;
        }
        match entry.kind {
            Kind::Dir => {
                if !there {
                    root.mkdir(path, 0o755)?;
                }
                folders.push(entry);
                continue;
            }
            Kind::File => {
                let file = root.create(path, 0o600, true)?;
                let mut charged = Charged { store, file };
                io::copy(&mut content, &mut charged).map_err(SourceError::io("write", &tree.join(path)))?;
                // Who builds must read it.
                root.chmod(path, entry.mode & 0o7777 | 0o400)?;
            }
            Kind::Symlink => root.symlink(as_path(&entry.link), path)?,
            Kind::Hardlink => {
                root.hardlink(as_path(&entry.link), path)?;
                continue;
            }
            Kind::Fifo => root.mkfifo(path, entry.mode & 0o777)?,
            Kind::Char | Kind::Block | Kind::Whiteout | Kind::Opaque => continue,
        }
        stamp(root, &entry)?;
    }
    // A tar without its end is damaged; a checksum behind it shows only when it is read.
    reader.finish()?;
    for entry in folders.iter().rev() {
        root.chmod(path_of(entry), entry.mode & 0o7777 | 0o700)?;
        stamp(root, entry)?;
    }
    Ok(())
}

fn stamp(root: &Root, entry: &Entry) -> Result<(), SourceError> {
    let time = Timestamp { seconds: entry.mtime, nanoseconds: 0 };
    Ok(root.utimens(path_of(entry), time, time)?)
}

fn path_of(entry: &Entry) -> &Path {
    as_path(&entry.path)
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// A file whose bytes the store's limit counts.
struct Charged<'s> {
    store: &'s Store,
    file: fs::File,
}

impl Write for Charged<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.store.room().take(bytes.len() as u64).map_err(io::Error::other)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for number in 0..2000 {
            let mut header = tar::Header::new_ustar();
            header.set_size(0);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("d{number}/f"), io::empty()).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let tree = unpack(&store, Box::new(bytes.as_slice())).unwrap();
        assert!(tree.join("d1999/f").is_file());
        let small = Store::open(dir.path().join("small")).unwrap();
        small.room().set_limit(Some(4 << 20));
        let said = unpack(&small, Box::new(bytes.as_slice())).unwrap_err().to_string();
        assert!(said.contains("limit"), "{said}");
    }
}
