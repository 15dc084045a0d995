//! A cache mount comes in: into a folder beside the instance, which takes its place when it is whole.
//!
//! Nobody else sees that folder, every path in it was checked by [`Index::decode`] and is resolved within it, so that what
//! an index says can make nothing outside. Files that the instance has already are linked from it, and not fetched; a pack is
//! fetched once, and only where something of it is missing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use oci::Digest;
use rustix::fs::{Timespec, Timestamps};
use rustix::io::Errno;
use store::Room;
use sys::{OpenFlags, Root, Timestamp};

use super::index::{Entry, Index, Kind, Piece};
use super::scan::{self, Stamp};
use super::state::State;
use super::{Moved, TravelError, manifest, pack};
use crate::cache::backend::Backend;
use crate::layers;

/// Longer than any clock of time stamps takes to tick.
const TICK: std::time::Duration = std::time::Duration::from_millis(20);
/// The unit in which files take room; each path takes one for itself.
const BLOCK: u64 = 4096;

/// Whose mount it is, and where it goes.
pub(super) struct Target<'t> {
    /// The mount's id.
    pub(super) id: &'t str,
    /// The instance's folder; nobody else uses it.
    pub(super) instance: &'t Path,
    /// The store's limit.
    pub(super) room: &'t Room,
    /// Whether owners can be given.
    pub(super) owners: bool,
}

/// Brings what a place has, if it is younger than what is here. `None`: nothing came.
pub(super) fn bring(target: &Target<'_>, from: &dyn Backend) -> Result<Option<Moved>, TravelError> {
    let part = manifest::part(target.id);
    let Some(there) = manifest::read(from, &part, target.id)? else { return Ok(None) };
    let state = State::read(target.instance).filter(|_| target.instance.is_dir());
    if state.as_ref().is_some_and(|state| state.digest == there.index.digest) {
        return Ok(None);
    }
    let index = manifest::index(from, &there)?;
    if !is_empty(target.instance) && used(target.instance) >= index.taken {
        return Ok(None);
    }
    let partial = target.instance.with_extension("new");
    let laid = lay(target, from, &index, state.as_ref(), &partial);
    let bytes = match laid {
        Ok(laid) => laid,
        Err(error) => {
            layers::remove(&partial)?;
            return Err(error);
        }
    };
    let files = index.entries.len() as u64;
    replace(target.instance, &partial)?;
    let stamps = stamps(target.instance, &index)?;
    State::new(there.index.digest, index, stamps).write(target.instance)?;
    Ok(Some(Moved { bytes, files, ..Moved::default() }))
}

/// Makes all of it, and gives how many bytes were fetched.
fn lay(
    target: &Target<'_>,
    from: &dyn Backend,
    index: &Index,
    state: Option<&State>,
    partial: &Path,
) -> Result<u64, TravelError> {
    layers::remove(partial)?;
    fs::create_dir(partial).map_err(|source| TravelError::Io { call: "mkdir", path: partial.into(), source })?;
    let root = Root::open(partial)?;
    let old = Root::open(target.instance).ok();
    let here = state.map(State::files).unwrap_or_default();
    let mut job = Job { root: &root, room: target.room, missing: BTreeMap::new(), linked: HashSet::new() };
    for (number, entry) in index.entries.iter().enumerate().skip(1) {
        let same = old.as_ref().zip(here.get(entry.path.as_slice()));
        job.make(number, entry, same)?;
    }
    let bytes = job.fill(from, index)?;
    finish(&root, index, target.owners, &job.linked)?;
    Ok(bytes)
}

/// How the files of the new instance look, now that nothing of the old one is left to change that.
fn stamps(instance: &Path, index: &Index) -> Result<HashMap<Vec<u8>, Stamp>, TravelError> {
    // The next user's changes must not fall into the tick of our own.
    std::thread::sleep(TICK);
    let root = Root::open(instance)?;
    let mut stamps = HashMap::new();
    for entry in index.entries.iter().filter(|entry| matches!(entry.kind, Kind::File(_))) {
        stamps.insert(entry.path.clone(), Stamp::of(&root.stat(OsStr::from_bytes(&entry.path))?));
    }
    Ok(stamps)
}

struct Job<'j> {
    root: &'j Root,
    room: &'j Room,
    /// By pack: the entry, where in it, and the piece.
    missing: BTreeMap<u32, Vec<(usize, u64, Piece)>>,
    /// Entries whose file was taken over, with owner, mode and time.
    linked: HashSet<usize>,
}

impl Job<'_> {
    /// Makes an entry; the content of a new file is noted as missing.
    fn make(
        &mut self,
        number: usize,
        entry: &Entry,
        same: Option<(&Root, &(&Entry, Stamp))>,
    ) -> Result<(), TravelError> {
        let path = OsStr::from_bytes(&entry.path);
        match &entry.kind {
            Kind::Dir => {
                self.room.take(BLOCK)?;
                self.root.mkdir(path, 0o700)?;
            }
            Kind::Symlink(to) => {
                self.room.take(BLOCK)?;
                self.root.symlink(OsStr::from_bytes(to), path)?;
            }
            Kind::Hardlink(first) => {
                self.room.take(BLOCK)?;
                self.root.hardlink(OsStr::from_bytes(first), path)?;
            }
            Kind::File(pieces) => {
                if let Some((old, (known, stamp))) = same
                    && same_file(known, entry)
                    && take_over(old, self.root, entry, stamp)?
                {
                    self.linked.insert(number);
                    return Ok(());
                }
                let size = pieces.iter().fold(0u64, |sum, piece| sum.saturating_add(piece.1));
                self.room.take(size.next_multiple_of(BLOCK).saturating_add(BLOCK))?;
                self.root.create(path, 0o600, true)?;
                let mut at = 0;
                for piece in pieces {
                    self.missing.entry(piece.2).or_default().push((number, at, *piece));
                    at += piece.1;
                }
            }
        }
        Ok(())
    }

    /// Fetches the packs that something is missing of, and writes it where it belongs.
    fn fill(&self, from: &dyn Backend, index: &Index) -> Result<u64, TravelError> {
        let mut bytes = 0;
        for (number, wanted) in &self.missing {
            let known = index.packs.get(*number as usize);
            let known = known.ok_or_else(|| TravelError::Index(format!("there is no pack {number}")))?;
            let plain = pack::fetch(from, known)?;
            bytes += known.size;
            let mut open: Option<(usize, File)> = None;
            for (entry, at, Piece(digest, size, _, offset)) in wanted {
                let start = usize::try_from(*offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(usize::try_from(*size).unwrap_or(usize::MAX));
                let piece = plain.get(start..end).filter(|bytes| Digest::sha256(bytes) == *digest);
                let lie = || TravelError::Index(format!("pack {} does not hold piece {digest}", known.digest));
                let piece = piece.ok_or_else(lie)?;
                if open.as_ref().is_none_or(|(last, _)| last != entry) {
                    let path = OsStr::from_bytes(&index.entries[*entry].path);
                    let flags = OpenFlags::WRONLY | OpenFlags::NOFOLLOW;
                    open = Some((*entry, self.root.open_file(path, flags)?));
                }
                if let Some((_, file)) = &open {
                    let failed = |source| TravelError::Io { call: "write", path: index.shown(*entry), source };
                    file.write_all_at(piece, *at).map_err(failed)?;
                }
            }
        }
        Ok(bytes)
    }
}

/// Whether a file that is here is what the index wants.
fn same_file(known: &Entry, wanted: &Entry) -> bool {
    let digests = |entry: &Entry| match &entry.kind {
        Kind::File(pieces) => Some(pieces.iter().map(|piece| (piece.0, piece.1)).collect::<Vec<_>>()),
        _ => None,
    };
    (known.mode, known.owner, known.mtime) == (wanted.mode, wanted.owner, wanted.mtime)
        && digests(known) == digests(wanted)
}

/// Links a file of the instance, if it still is what it was when it was known.
fn take_over(old: &Root, new: &Root, entry: &Entry, stamp: &Stamp) -> Result<bool, TravelError> {
    let path = OsStr::from_bytes(&entry.path);
    let Some((file, stat)) = scan::open(old, &entry.path) else { return Ok(false) };
    // A file with a second name would be changed under both.
    if Stamp::of(&stat) != *stamp || stat.nlink > 1 {
        return Ok(false);
    }
    drop(file);
    let Ok(from) = old.resolve_parent(path) else { return Ok(false) };
    let to = new.resolve_parent(path)?;
    let linked = rustix::fs::linkat(from.dir(), from.name(), to.dir(), to.name(), rustix::fs::AtFlags::empty());
    if linked.is_err() {
        return Ok(false);
    }
    let same = new.stat(path).is_ok_and(|now| (now.dev, now.ino) == (stat.dev, stat.ino) && now.is_file());
    if !same {
        new.remove_all(path)?;
    }
    Ok(same)
}

/// Owners, permissions and times: of directories last, from below, since what is made in them changes them.
fn finish(root: &Root, index: &Index, owners: bool, linked: &HashSet<usize>) -> Result<(), TravelError> {
    for (number, entry) in index.entries.iter().enumerate().rev() {
        if linked.contains(&number) || matches!(entry.kind, Kind::Hardlink(_)) {
            continue;
        }
        let time = Timestamp { seconds: entry.mtime.0, nanoseconds: entry.mtime.1.min(999_999_999) };
        if entry.path.is_empty() {
            finish_mount(root, entry, owners)?;
            continue;
        }
        let path = OsStr::from_bytes(&entry.path);
        if owners && entry.owner != (0, 0) {
            given(root.chown(path, entry.owner.0, entry.owner.1))?;
        }
        if !matches!(entry.kind, Kind::Symlink(_)) {
            root.chmod(path, entry.mode & 0o7777)?;
        }
        root.utimens(path, time, time)?;
    }
    Ok(())
}

/// As [`finish`], of the mount's own folder.
fn finish_mount(root: &Root, entry: &Entry, owners: bool) -> Result<(), TravelError> {
    let failed = |call| move |errno| TravelError::Sys(sys::Error::new(call, "", errno));
    if owners && entry.owner != (0, 0) {
        let (uid, gid) = (rustix::fs::Uid::from_raw(entry.owner.0), rustix::fs::Gid::from_raw(entry.owner.1));
        let chowned = rustix::fs::fchown(root, Some(uid), Some(gid));
        given(chowned.map_err(|errno| sys::Error::new("fchown", "", errno)))?;
    }
    rustix::fs::fchmod(root, rustix::fs::Mode::from_raw_mode(entry.mode & 0o7777)).map_err(failed("fchmod"))?;
    // Else an export after this would find the folder changed, and send the index for nothing.
    let time = Timespec { tv_sec: entry.mtime.0, tv_nsec: i64::from(entry.mtime.1.min(999_999_999)) };
    rustix::fs::futimens(root, &Timestamps { last_access: time, last_modification: time }).map_err(failed("futimens"))
}

/// An owner that this machine's namespace does not have is left out.
fn given(chowned: sys::Result<()>) -> Result<(), TravelError> {
    match chowned {
        Err(error) if matches!(error.errno(), Errno::INVAL | Errno::PERM) => Ok(()),
        other => Ok(other?),
    }
}

/// Puts the new instance in the place of the old one.
fn replace(instance: &Path, partial: &Path) -> Result<(), TravelError> {
    let old = instance.with_extension("old");
    layers::remove(&old)?;
    State::forget(instance)?;
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| TravelError::Io { call: "rename", path, source }
    };
    if instance.exists() {
        fs::rename(instance, &old).map_err(failed(instance))?;
    }
    fs::rename(partial, instance).map_err(failed(partial))?;
    Ok(layers::remove(&old)?)
}

/// Whether nothing is in an instance, or there is none.
fn is_empty(instance: &Path) -> bool {
    fs::read_dir(instance).map_or(true, |mut names| names.next().is_none())
}

/// When an instance was last used by a RUN, in seconds since 1970: the time of its lock file.
fn used(instance: &Path) -> i64 {
    let lock = instance.with_extension("lock");
    let time = fs::metadata(lock).and_then(|metadata| metadata.modified()).unwrap_or(std::time::UNIX_EPOCH);
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
