//! The version of a data directory: a new one gets the newest, an older one is led there, a newer one is refused.
//!
//! The file `version` holds one number, for the directory as a whole; the databases have versions of their own, and
//! lead themselves. A step may be cut off by a crash: it runs again then, so every step must stand that.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::{Error, Result};
use crate::control::RootLock;

/// What this program writes.
pub const VERSION: u32 = 1;
/// The file that says it.
pub const FILE: &str = "version";
/// Longest content of the file: a number and an end of line.
const LONGEST: u64 = 16;

/// What a data directory may hold before it has a version: what its parts make when they are opened.
const OURS: &[&str] = &[
    "lock",
    "control.sock",
    "blobs",
    "uploads",
    "keys",
    "metadata.sqlite",
    "uploads.sqlite",
    "names.journal",
    "lost+found",
];

/// A way from one version to the next.
struct Step {
    from: u32,
    run: fn(&Path) -> Result<()>,
}

/// All of them. Version 0 is what builds before the first release laid: the same files, and no number.
const STEPS: &[Step] = &[Step { from: 0, run: |_| Ok(()) }];

/// What [`prepare`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// Nothing: the directory is new.
    Fresh,
    /// The newest version.
    Current,
    /// An older version, which is the newest now.
    Migrated {
        /// The version that it had.
        from: u32,
    },
}

/// Readies a data directory that this process owns for being opened.
///
/// # Errors
/// [`Error::Newer`], [`Error::Older`] and [`Error::Foreign`], with nothing changed.
pub fn prepare(owner: &RootLock) -> Result<Prepared> {
    advance(owner.root(), VERSION, STEPS)
}

/// Says whether a directory can be read as it is, without changing anything.
///
/// # Errors
/// As [`prepare`]; also for an older version and for an empty directory.
pub fn check(root: &Path) -> Result<()> {
    match read(root)? {
        Some(VERSION) => Ok(()),
        Some(found) if found > VERSION => Err(Error::Newer { root: root.to_path_buf(), found, known: VERSION }),
        Some(found) => {
            let why = "start the server, or `estiba registry fsck`, on it once: that migrates it".to_owned();
            Err(Error::Older { root: root.to_path_buf(), found, why })
        }
        None => Err(Error::Foreign { root: root.to_path_buf(), why: format!("it has no file `{FILE}`") }),
    }
}

fn advance(root: &Path, newest: u32, steps: &[Step]) -> Result<Prepared> {
    let found = match read(root)? {
        Some(found) => found,
        None if is_new(root)? => {
            write(root, newest)?;
            return Ok(Prepared::Fresh);
        }
        None => 0,
    };
    if found > newest {
        return Err(Error::Newer { root: root.to_path_buf(), found, known: newest });
    }
    for version in found..newest {
        let Some(step) = steps.iter().find(|step| step.from == version) else {
            let why = format!(
                "nothing leads from version {version} on; back it up and restore it with the program that wrote it"
            );
            return Err(Error::Older { root: root.to_path_buf(), found, why });
        };
        (step.run)(root)?;
        write(root, version + 1)?;
    }
    Ok(if found == newest { Prepared::Current } else { Prepared::Migrated { from: found } })
}

/// The number in the file; `None` where there is no file.
fn read(root: &Path) -> Result<Option<u32>> {
    let path = root.join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", &path)(error)),
    };
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(Error::io("read", &path))?;
    match text.trim().parse() {
        Ok(version) => Ok(Some(version)),
        Err(_) => Err(Error::Foreign { root: root.to_path_buf(), why: format!("its file `{FILE}` holds no number") }),
    }
}

/// Whether nothing was stored yet. A directory with files of others is no place for ours.
fn is_new(root: &Path) -> Result<bool> {
    let mut new = true;
    for entry in std::fs::read_dir(root).map_err(Error::io("opendir", root))? {
        let name = entry.map_err(Error::io("readdir", root))?.file_name();
        let text = name.to_string_lossy();
        let known = OURS
            .iter()
            .any(|ours| text == *ours || text.strip_prefix(ours).is_some_and(|rest| rest.starts_with(['-', '.'])));
        if !known && !text.starts_with('.') {
            let why = format!("it holds `{}`; choose an empty one", text.escape_default());
            return Err(Error::Foreign { root: root.to_path_buf(), why });
        }
        new &= text != "metadata.sqlite";
    }
    Ok(new)
}

/// Writes the number so that a crash leaves the old one or the new one.
pub(super) fn write(root: &Path, version: u32) -> Result<()> {
    let (path, fresh) = (root.join(FILE), root.join(".version.new"));
    let mut file = File::create(&fresh).map_err(Error::io("create", &fresh))?;
    writeln!(file, "{version}").and_then(|()| file.sync_all()).map_err(Error::io("write", &fresh))?;
    std::fs::rename(&fresh, &path).map_err(Error::io("rename", &path))?;
    File::open(root).and_then(|dir| dir.sync_all()).map_err(Error::io("fsync", root))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_new_directory_gets_the_newest_version() {
        let dir = place();
        let lock = RootLock::take(dir.path()).unwrap();
        assert!(check(dir.path()).is_err());
        assert_eq!(prepare(&lock).unwrap(), Prepared::Fresh);
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE)).unwrap(), "1\n");
        assert_eq!(prepare(&lock).unwrap(), Prepared::Current);
        check(dir.path()).unwrap();
    }

    #[test]
    fn an_older_one_is_led_step_by_step() {
        let dir = place();
        std::fs::write(dir.path().join("metadata.sqlite"), "").unwrap();
        assert_eq!(advance(dir.path(), 1, STEPS).unwrap(), Prepared::Migrated { from: 0 });
        let steps = [
            Step { from: 1, run: |root| std::fs::write(root.join("one"), "").map_err(Error::io("write", root)) },
            Step {
                from: 2,
                run: |root| std::fs::rename(root.join("one"), root.join("two")).map_err(Error::io("rename", root)),
            },
        ];
        assert_eq!(advance(dir.path(), 3, &steps).unwrap(), Prepared::Migrated { from: 1 });
        assert!(dir.path().join("two").exists());
        assert_eq!(read(dir.path()).unwrap(), Some(3));
        let error = advance(dir.path(), 5, &steps).unwrap_err();
        assert!(matches!(error, Error::Older { found: 3, .. }), "{error}");
        // What failed half-way goes on where it was.
        let failing = [Step { from: 3, run: |root| Err(Error::io("fail", root)(std::io::Error::other("on purpose"))) }];
        assert!(advance(dir.path(), 4, &failing).is_err());
        assert_eq!(read(dir.path()).unwrap(), Some(3));
    }

    #[test]
    fn a_newer_one_and_a_strange_one_are_refused() {
        let dir = place();
        std::fs::write(dir.path().join(FILE), "2\n").unwrap();
        let error = advance(dir.path(), 1, STEPS).unwrap_err();
        assert!(error.to_string().ends_with("this program knows 1: use a newer one"), "{error}");
        assert!(matches!(check(dir.path()), Err(Error::Newer { .. })));
        for content in ["", "one", "-1", "99999999999999999999"] {
            std::fs::write(dir.path().join(FILE), content).unwrap();
            assert!(matches!(advance(dir.path(), 1, STEPS), Err(Error::Foreign { .. })), "{content}");
        }
        let other = place();
        std::fs::write(other.path().join("thesis.tex"), "").unwrap();
        let error = advance(other.path(), 1, STEPS).unwrap_err();
        assert!(error.to_string().contains("thesis.tex"), "{error}");
        assert!(!other.path().join(FILE).exists());
    }
}
