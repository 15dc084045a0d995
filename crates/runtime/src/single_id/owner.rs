//! Owners that the kernel couldn't give a file, recorded beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sys::lock::Lock;
use sys::{FileKind, Root, Stat};

/// The attribute that holds the owner of a file or directory, as `uid:gid` in decimal.
pub const XATTR: &str = "user.estiba.owner";
/// The name of the table, beside the tree.
pub(crate) const TABLE: &str = "owners";

/// Who owns a file, in the image's own ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// An inode that nobody confuses with a later one of the same number: with its birth time, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Inode {
    ino: u64,
    born: (i64, u32),
}

/// The owners recorded for one layer tree: an attribute on files and directories; for links, fifos, sockets and
/// devices, which take no `user.*` attribute, a table in the file `owners` beside the tree.
///
/// A line of the table is `inode birth-seconds birth-nanoseconds uid gid`; the last line for an inode counts.
#[derive(Debug, Default)]
pub struct Owners {
    table: PathBuf,
    rows: BTreeMap<Inode, Owner>,
    changed: BTreeMap<Inode, Owner>,
}

impl Owners {
    /// The records of the layer tree `fs` (a snapshot's `fs` directory); empty where none were made.
    pub fn of(fs: &Path) -> sys::Result<Self> {
        let table = fs.parent().unwrap_or(Path::new("/")).join(TABLE);
        let rows = match fs::read_to_string(&table) {
            Ok(text) => text.lines().filter_map(row).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(sys::Error::from_io("read", &table, &error)),
        };
        Ok(Self { table, rows, changed: BTreeMap::new() })
    }

    /// The owner recorded for `path` in `tree`, whose metadata is `stat`.
    ///
    /// `None` where nothing is recorded: on the single-id rung that means `0:0`, whatever ids the file system shows.
    pub fn get(&self, tree: &Root, path: &Path, stat: &Stat) -> sys::Result<Option<Owner>> {
        if takes_attributes(stat) {
            let value = tree.get_xattr(path, XATTR)?;
            return Ok(value.and_then(|value| Owner::decode(&value)));
        }
        Ok(self.rows.get(&Inode::of(stat)).copied())
    }

    /// Records an owner for `path` in `tree`. Rows of the table reach the disk with [`Owners::save`].
    pub fn set(&mut self, tree: &Root, path: &Path, stat: &Stat, owner: Owner) -> sys::Result<()> {
        if !takes_attributes(stat) {
            self.rows.insert(Inode::of(stat), owner);
            self.changed.insert(Inode::of(stat), owner);
            return Ok(());
        }
        let change = || match owner {
            Owner::ROOT => tree.remove_xattr(path, XATTR),
            owner => tree.set_xattr(path, XATTR, owner.encode().as_bytes()),
        };
        match change() {
            // A file that its owner may not write: open it up for as long as this takes.
            Err(error) if error.errno() == Errno::ACCESS => {
                tree.chmod(path, stat.permissions() | 0o200)?;
                let done = change();
                tree.chmod(path, stat.permissions())?;
                done
            }
            other => other,
        }
    }

    /// Adds what was recorded since to the table on disk; several processes may do so.
    pub fn save(&self) -> sys::Result<()> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let failed = |call| move |error: std::io::Error| sys::Error::from_io(call, &self.table, &error);
        let mut options = File::options();
        let file = options.create(true).read(true).append(true).open(&self.table).map_err(failed("open"))?;
        let lock = Lock::exclusive(file).map_err(|error| error.at(&self.table))?;
        let mut lines = String::new();
        for (inode, owner) in &self.changed {
            let (seconds, nanoseconds) = inode.born;
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{} {seconds} {nanoseconds} {} {}", inode.ino, owner.uid, owner.gid);
        }
        let mut file = lock.file();
        // A line that a killed process left unfinished must not swallow the next one.
        if !ends_in_newline(file).map_err(failed("read"))? {
            lines.insert(0, '\n');
        }
        file.write_all(lines.as_bytes()).map_err(failed("write"))
    }

    /// As [`Owners::save`], for one who goes on recording.
    pub(super) fn flush(&mut self) -> sys::Result<()> {
        self.save()?;
        self.changed.clear();
        Ok(())
    }
}

fn ends_in_newline(mut file: &File) -> std::io::Result<bool> {
    if file.seek(std::io::SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(std::io::SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn takes_attributes(stat: &Stat) -> bool {
    matches!(stat.kind(), FileKind::File | FileKind::Dir)
}

fn row(line: &str) -> Option<(Inode, Owner)> {
    let mut fields = line.split(' ');
    let ino = fields.next()?.parse().ok()?;
    let born = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let owner = Owner { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? };
    fields.next().is_none().then_some((Inode { ino, born }, owner))
}

impl Inode {
    fn of(stat: &Stat) -> Self {
        let born = stat.btime.unwrap_or_default();
        Self { ino: stat.ino, born: (born.seconds, born.nanoseconds) }
    }
}

impl Owner {
    /// Root, whom no record is needed for.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };

    /// As the attribute holds it.
    pub fn encode(self) -> String {
        format!("{}:{}", self.uid, self.gid)
    }

    /// What the attribute holds; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (uid, gid) = std::str::from_utf8(bytes).ok()?.split_once(':')?;
        Some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_of_every_kind_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let fs = dir.path().join("fs");
        fs::create_dir(&fs).unwrap();
        let tree = Root::open(&fs).unwrap();
        tree.create("file", 0o444, true).unwrap();
        tree.symlink("file", "link").unwrap();
        tree.mkfifo("fifo", 0o600).unwrap();
        let owner = |uid, gid| Owner { uid, gid };
        let mut owners = Owners::of(&fs).unwrap();
        for (n, path) in ["", "file", "link", "fifo"].into_iter().enumerate() {
            let path = Path::new(path);
            let stat = tree.stat(path).unwrap();
            assert_eq!(owners.get(&tree, path, &stat).unwrap(), None);
            owners.set(&tree, path, &stat, owner(n as u32 + 1, 42)).unwrap();
        }
        owners.save().unwrap();
        fs::OpenOptions::new().append(true).open(dir.path().join("owners")).unwrap().write_all(b"1 2 3").unwrap();
        let mut again = Owners::of(&fs).unwrap();
        tree.rename("link", "renamed").unwrap();
        let stat = |path: &str| tree.stat(path).unwrap();
        for (n, path) in ["", "file", "renamed", "fifo"].into_iter().enumerate() {
            assert_eq!(again.get(&tree, Path::new(path), &stat(path)).unwrap(), Some(owner(n as u32 + 1, 42)));
        }
        again.set(&tree, Path::new("file"), &stat("file"), Owner::ROOT).unwrap();
        again.set(&tree, Path::new("fifo"), &stat("fifo"), owner(9, 9)).unwrap();
        again.save().unwrap();
        let last = Owners::of(&fs).unwrap();
        assert_eq!(last.get(&tree, Path::new("file"), &stat("file")).unwrap(), None);
        assert_eq!(last.get(&tree, Path::new("fifo"), &stat("fifo")).unwrap(), Some(owner(9, 9)));
    }

    #[test]
    fn only_two_numbers_are_an_owner() {
        assert_eq!(Owner::decode(b"0:42"), Some(Owner { uid: 0, gid: 42 }));
        for bad in ["", "1", "1:", ":1", "1:2:3", "a:b", "-1:1"] {
            assert_eq!(Owner::decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
