//! Copies of a data directory, made while it is served, and data directories made of copies.
//!
//! ```text
//! DEST/version            as in a data directory; written last, so that a copy that was begun and not ended is none
//! DEST/metadata.sqlite    one moment's names
//! DEST/blobs/<algorithm>/<hex>.<random>   every object that those names need
//! ```
//!
//! A copy is a data directory without uploads, keys and journal. Made again into the same place it copies only what is new: keys
//! are never used twice, so that an object with the same key is the same. First objects come, then the names of the moment take
//! the old names' place, then objects go that no name needs: cut off anywhere, the copy is the old one or the new one.
//!
//! While it runs the collector rests (the caller sees to that), so that no object of the moment goes.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use oci::Hasher;
use serde::{Deserialize, Serialize};

use super::{Error, Progress, Result, migrate, pool};
use crate::metadata::sqlite::{DATABASE, objects_of};
use crate::metadata::{BlobRow, Metadata, Page};
use crate::storage::{FsObjects, Objects};

/// Rows read at a time.
const STEP: usize = 1000;
/// What is read at a time.
const PIECE: usize = 256 << 10;
/// Problems that are told one by one.
const TOLD: usize = 1000;

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Objects of the copy.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that are new in it.
    pub new_objects: u64,
    /// Their bytes.
    pub new_bytes: u64,
    /// Objects that no name of it needed any more.
    pub removed: u64,
    /// Objects that could not be copied, and why, at most a thousand of them.
    pub problems: Vec<String>,
}

impl Copied {
    fn problem(&mut self, problem: String) {
        if self.problems.len() < TOLD {
            self.problems.push(problem);
        }
    }
}

/// Copies what is served into `dest`. Objects are hashed as they are copied; on one file system they share their bytes with the
/// registry's own (reflink, else hard link), unless `copy` asks for bytes of their own. `progress` ends it by failing.
///
/// # Errors
/// When `dest` is something else than a copy or empty, or cannot be written. Objects that are damaged are left out and told:
/// the names of the moment then do not take the old ones' place.
pub fn backup(
    objects: &dyn Objects,
    metadata: &dyn Metadata,
    dest: &Path,
    copy: bool,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Copied> {
    prepare(dest)?;
    let fresh = dest.join(".metadata.new");
    remove_if_there(&fresh)?;
    metadata.backup(&fresh)?;
    let total = metadata.total_bytes()?;
    let target = FsObjectsAt::open(dest)?;
    let mut report = place_all(objects, &fresh, &target, copy, total, progress)?;
    if !report.problems.is_empty() {
        remove_if_there(&fresh)?;
        return Ok(report);
    }
    target.sync()?;
    put_names(&fresh, dest)?;
    migrate::write(dest, migrate::VERSION)?;
    report.removed = sweep(dest, &target)?;
    Ok(report)
}

/// Makes the data directory `root`, which must be new, from the copy `source`. Every object is hashed.
///
/// # Errors
/// When `source` is no copy, or `root` holds something. Where objects of the copy are damaged they are told; `root` is then no
/// data directory yet, unless `keep_going` makes it one without them: `fsck --repair` takes their names away.
pub fn restore(
    source: &Path,
    root: &Path,
    copy: bool,
    keep_going: bool,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Copied> {
    migrate::check(source)?;
    require_empty(root)?;
    let names = source.join(DATABASE);
    let mut total = 0;
    each_row(&names, &mut |row| {
        total += row.size;
        Ok(())
    })?;
    let objects = FsObjects::open(source)?;
    let target = FsObjectsAt::open(root)?;
    let report = place_all(&objects, &names, &target, copy, total, progress)?;
    if !report.problems.is_empty() && !keep_going {
        return Ok(report);
    }
    target.sync()?;
    let fresh = root.join(".metadata.new");
    let mut from = File::open(&names).map_err(Error::io("open", &names))?;
    let mut to = File::create(&fresh).map_err(Error::io("create", &fresh))?;
    std::io::copy(&mut from, &mut to).and_then(|_| to.sync_all()).map_err(Error::io("write", &fresh))?;
    put_names(&fresh, root)?;
    migrate::write(root, migrate::VERSION)?;
    Ok(report)
}

/// A place for a copy: a new folder, an empty one, or an earlier copy.
fn prepare(dest: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dest).map_err(Error::io("mkdir", dest))?;
    if dest.join("control.sock").exists() || dest.join("lock").exists() {
        let why = "it is a data directory that is served, and no copy".to_owned();
        return Err(Error::Foreign { root: dest.to_path_buf(), why });
    }
    match migrate::check(dest) {
        Ok(()) => return Ok(()),
        Err(error @ Error::Newer { .. }) => return Err(error),
        Err(_) => {}
    }
    for entry in std::fs::read_dir(dest).map_err(Error::io("opendir", dest))? {
        let name = entry.map_err(Error::io("readdir", dest))?.file_name();
        let name = name.to_string_lossy();
        if name != "blobs"
            && name != "uploads"
            && name != "lost+found"
            && !name.starts_with('.')
            && !name.starts_with(DATABASE)
        {
            let why = format!("it holds `{}`; choose an empty folder", name.escape_default());
            return Err(Error::Foreign { root: dest.to_path_buf(), why });
        }
    }
    Ok(())
}

/// A place for a data directory: empty, but for the owner's lock and what an earlier try has brought.
fn require_empty(root: &Path) -> Result<()> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("opendir", root)(error)),
    };
    for entry in entries {
        let name = entry.map_err(Error::io("readdir", root))?.file_name();
        let name = name.to_string_lossy();
        if !matches!(&*name, "lock" | "blobs" | "uploads" | "lost+found" | ".metadata.new") {
            let why = format!("it holds `{}`, and a copy is restored into an empty folder", name.escape_default());
            return Err(Error::Foreign { root: root.to_path_buf(), why });
        }
    }
    Ok(())
}

/// Lets the new names take the place of the old ones. A log of the old names must not be read with the new ones.
fn put_names(fresh: &Path, dest: &Path) -> Result<()> {
    for ending in ["-wal", "-shm"] {
        remove_if_there(&dest.join(format!("{DATABASE}{ending}")))?;
        let mut log = fresh.as_os_str().to_owned();
        log.push(ending);
        remove_if_there(Path::new(&log))?;
    }
    let names = dest.join(DATABASE);
    std::fs::rename(fresh, &names).map_err(Error::io("rename", &names))?;
    File::open(dest).and_then(|dir| dir.sync_all()).map_err(Error::io("fsync", dest))
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("unlink", path)(error)),
        _ => Ok(()),
    }
}

fn each_row(names: &Path, each: &mut dyn FnMut(BlobRow) -> Result<()>) -> Result<()> {
    for row in rows(names) {
        each(row?)?;
    }
    Ok(())
}

/// All objects that a copy of the names needs.
fn rows(names: &Path) -> impl Iterator<Item = Result<BlobRow>> + Send + use<'_> {
    let mut page = Vec::new().into_iter();
    let mut after: Option<String> = None;
    std::iter::from_fn(move || {
        loop {
            if let Some(row) = page.next() {
                return Some(Ok(row));
            }
            let read: Result<Vec<BlobRow>, _> = objects_of(names, Page { after: after.as_deref(), limit: STEP });
            match read {
                Ok(rows) if rows.is_empty() => return None,
                Ok(rows) => {
                    after = rows.last().map(|row| row.digest.to_string());
                    page = rows.into_iter();
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    })
}

/// What became of one object.
enum Placed {
    There,
    New(u64),
    Bad(String),
}

fn place_all(
    objects: &dyn Objects,
    names: &Path,
    target: &FsObjectsAt,
    copy: bool,
    total: u64,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Copied> {
    let (mut report, done) = (Copied::default(), AtomicU64::new(0));
    let work = |row: Result<BlobRow>| -> Result<(u64, Placed)> {
        let row = row?;
        Ok((row.size, target.place(objects, &row, copy, &done)?))
    };
    pool::run(pool::processors(), &mut rows(names), &work, &mut |placed| {
        if let Some(placed) = placed {
            let (size, placed) = placed?;
            report.objects += 1;
            report.bytes += size;
            match placed {
                Placed::There => {}
                Placed::New(size) => {
                    report.new_objects += 1;
                    report.new_bytes += size;
                }
                Placed::Bad(why) => report.problem(why),
            }
        }
        progress(Progress { objects: report.objects, bytes: done.load(Ordering::Relaxed), total })
    })?;
    Ok(report)
}

/// Objects of a copy, under the keys that they have where they come from.
struct FsObjectsAt {
    blobs: PathBuf,
}

impl FsObjectsAt {
    fn open(root: &Path) -> Result<Self> {
        let blobs = root.join("blobs");
        let uploads = root.join("uploads");
        for dir in [root.to_path_buf(), uploads, blobs.clone(), blobs.join("sha256"), blobs.join("sha512")] {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(Error::io("mkdir", &dir))?;
        }
        Ok(Self { blobs })
    }

    /// Makes the names of the objects durable; their bytes are.
    fn sync(&self) -> Result<()> {
        for dir in [self.blobs.join("sha256"), self.blobs.join("sha512"), self.blobs.clone()] {
            File::open(&dir).and_then(|dir| dir.sync_all()).map_err(Error::io("fsync", &dir))?;
        }
        Ok(())
    }

    fn place(&self, objects: &dyn Objects, row: &BlobRow, copy: bool, done: &AtomicU64) -> Result<Placed> {
        let path = self.blobs.join(&row.key.0);
        if std::fs::metadata(&path).is_ok_and(|known| known.len() == row.size) {
            done.fetch_add(row.size, Ordering::Relaxed);
            return Ok(Placed::There);
        }
        let bad = |why: String| Ok(Placed::Bad(format!("{}: {why}", row.digest)));
        let object = match objects.open(&row.key) {
            Ok(object) => object,
            Err(error) => return bad(error.to_string()),
        };
        let mut temporary = path.clone().into_os_string();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        remove_if_there(&temporary)?;
        let shared = !copy && share(&object.file, &temporary)?;
        let mut to =
            if shared { None } else { Some(File::create_new(&temporary).map_err(Error::io("create", &temporary))?) };
        let found = transfer(&object.file, to.as_mut(), row, done);
        let sound = match found {
            Ok(digest) if digest == row.digest => Ok(()),
            Ok(digest) => Err(format!("its content has the digest {digest}")),
            Err(Transfer::Read(error)) => Err(error.to_string()),
            Err(Transfer::Write(error)) => {
                remove_if_there(&temporary)?;
                return Err(Error::io("write", &temporary)(error));
            }
        };
        if let Err(why) = sound {
            remove_if_there(&temporary)?;
            return bad(why);
        }
        if let Some(to) = to {
            to.sync_all().map_err(Error::io("fsync", &temporary))?;
        }
        std::fs::rename(&temporary, &path).map_err(Error::io("rename", &path))?;
        Ok(Placed::New(row.size))
    }
}

/// Gives a file another name without copying its bytes; `false` where the file system cannot.
fn share(file: &File, path: &Path) -> Result<bool> {
    use rustix::fs::{AtFlags, CWD};
    use std::os::fd::AsRawFd as _;
    let fresh = File::create_new(path).map_err(Error::io("create", path))?;
    if rustix::fs::ioctl_ficlone(&fresh, file).is_ok() {
        return fresh.sync_all().map(|()| true).map_err(Error::io("fsync", path));
    }
    remove_if_there(path)?;
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, source.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW).is_ok())
}

enum Transfer {
    Read(std::io::Error),
    Write(std::io::Error),
}

/// Reads all of an object, writes it where a copy is wanted, and gives its digest.
fn transfer(
    mut from: &File,
    mut to: Option<&mut File>,
    row: &BlobRow,
    done: &AtomicU64,
) -> Result<oci::Digest, Transfer> {
    let mut hasher = Hasher::new(row.digest.algorithm());
    let mut buffer = vec![0; PIECE];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Transfer::Read(error)),
        };
        hasher.update(&buffer[..count]);
        done.fetch_add(count as u64, Ordering::Relaxed);
        if let Some(to) = &mut to {
            to.write_all(&buffer[..count]).map_err(Transfer::Write)?;
        }
    }
}

/// Removes objects that the copy's names do not need, and what earlier runs left behind.
fn sweep(dest: &Path, target: &FsObjectsAt) -> Result<u64> {
    let mut needed = BTreeSet::new();
    each_row(&dest.join(DATABASE), &mut |row| {
        needed.insert(row.key.0);
        Ok(())
    })?;
    let mut removed = 0;
    for algorithm in ["sha256", "sha512"] {
        let dir = target.blobs.join(algorithm);
        for entry in std::fs::read_dir(&dir).map_err(Error::io("opendir", &dir))? {
            let entry = entry.map_err(Error::io("readdir", &dir))?;
            if !needed.contains(&format!("{algorithm}/{}", entry.file_name().to_string_lossy())) {
                remove_if_there(&entry.path())?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}
