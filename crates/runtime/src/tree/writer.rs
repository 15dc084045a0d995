//! Entries into a directory: the writing half that [`super::apply()`] and [`super::LayerBuilder`] share.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use layer::{Entry, Kind};
use rustix::io::Errno;
use sys::{Error, Result, Root, Stat, xattr};

use super::attributes::{Attributes, Rules, set_time, set_time_at};
use super::dirs::{Dirs, split};
use super::holes::SparseFile;
use super::implied::from_lowers;
use super::special::{NODE, OPAQUE, WHITEOUT, encode_node, name};
use super::{ApplyOptions, Whiteouts};

/// `S_IFMT` bits of the nodes that are made.
const CHAR: u32 = 0o020_000;
const BLOCK: u32 = 0o060_000;

/// Writes entries into a tree, in any order.
#[derive(Debug)]
pub(super) struct TreeWriter<'a> {
    dirs: Dirs,
    root: Root,
    attributes: Attributes,
    whiteouts: Whiteouts,
    lowers: &'a [Root],
    /// Directories whose time (and, without root's rights, mode) is set when nothing is written into them any more.
    pending: BTreeMap<Vec<u8>, Pending>,
    /// Whether a directory without write access for its owner would keep us out too.
    late_modes: bool,
    /// What this layer made, where deletions must not reach it.
    made: BTreeSet<Vec<u8>>,
    /// Directories that no entry named and no lower tree has.
    implied: BTreeSet<Vec<u8>>,
    recorded_nodes: u64,
    /// Whether something that this layer made had to make way for something else.
    replaced: bool,
}

/// What is known when all is written.
#[derive(Debug, Default)]
pub(super) struct Finished {
    pub(super) recorded_nodes: u64,
    pub(super) refused_xattrs: u64,
    pub(super) implied: Vec<Vec<u8>>,
    pub(super) replaced: bool,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    mode: Option<u32>,
    mtime: i64,
}

/// A file that was made and now takes its content.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) content: SparseFile,
    made: u32,
}

/// What stood in the place of a new entry.
#[derive(PartialEq, Eq)]
enum Cleared {
    Nothing,
    Whiteout,
}

impl<'a> TreeWriter<'a> {
    pub(super) fn new(root: &Root, options: &'a ApplyOptions) -> Result<TreeWriter<'a>> {
        let writer = TreeWriter::without_lowers(root, options)?;
        Ok(TreeWriter { lowers: &options.lowers, ..writer })
    }

    /// One that borrows nothing.
    pub(super) fn without_lowers(root: &Root, options: &ApplyOptions) -> Result<TreeWriter<'a>> {
        let fresh = options.whiteouts == Whiteouts::Overlay;
        Ok(TreeWriter {
            dirs: Dirs::new(root.try_clone()?, options.links),
            root: root.try_clone()?,
            attributes: Attributes::new(root, &options.ids, fresh)?,
            whiteouts: options.whiteouts,
            lowers: &[],
            pending: BTreeMap::new(),
            late_modes: !rustix::process::geteuid().is_root(),
            made: BTreeSet::new(),
            implied: BTreeSet::new(),
            recorded_nodes: 0,
            replaced: false,
        })
    }

    /// Makes what the entry says; a file is then filled, and given to [`TreeWriter::finish_file`].
    pub(super) fn place(&mut self, entry: &Entry) -> Result<Option<NewFile>> {
        let (parent, last) = split(&entry.path);
        let dir = self.parent(parent)?;
        if self.whiteouts == Whiteouts::Remove && !entry.kind.is_deletion() {
            self.made.insert(entry.path.clone());
        }
        match entry.kind {
            Kind::File => return self.make_file(&dir, last, entry).map(Some),
            Kind::Dir => {
                self.make_dir(&dir, last, entry)?;
                self.implied.remove(&entry.path);
            }
            Kind::Symlink => {
                self.replacing(&dir, last, entry, |dir| dir.symlink(name(&entry.link), name(last)))?;
                self.attributes.set_at(&dir, last, entry, &self.root)?;
            }
            Kind::Hardlink => self.make_hardlink(&dir, last, entry)?,
            Kind::Char | Kind::Block => self.make_node(&dir, last, entry)?,
            Kind::Fifo => {
                self.replacing(&dir, last, entry, |dir| dir.mkfifo(name(last), entry.mode & 0o777))?;
                self.attributes.set_at(&dir, last, entry, &self.root)?;
            }
            Kind::Whiteout => self.make_whiteout(&dir, last, entry)?,
            Kind::Opaque => self.make_opaque(&entry.path)?,
        }
        Ok(None)
    }

    /// For files that are filled elsewhere.
    pub(super) fn rules(&self) -> Rules {
        self.attributes.rules()
    }

    /// Takes an empty file out, to be filled elsewhere, and says whether its mode has to be set.
    pub(super) fn take_file(&self, file: NewFile, entry: &Entry) -> Result<(File, bool)> {
        let set_mode = self.attributes.wants_mode(entry, file.made);
        let file = file.content.finish().map_err(|error| Error::from_io("open", name(&entry.path), &error))?;
        Ok((file, set_mode))
    }

    /// Sets the attributes of a filled file.
    pub(super) fn finish_file(&mut self, file: NewFile, entry: &Entry) -> Result<()> {
        let io = |error: std::io::Error| Error::from_io("ftruncate", name(&entry.path), &error);
        let made = file.made;
        let file = file.content.finish().map_err(io)?;
        self.attributes.set(&file, entry, made, true)?;
        set_time(&file, entry.mtime)
    }

    /// Sets what had to wait.
    pub(super) fn finish(mut self) -> Result<Finished> {
        let mut pending: Vec<_> = std::mem::take(&mut self.pending).into_iter().collect();
        pending.sort_unstable_by(|a, b| layer::compare_paths(&b.0, &a.0));
        for (path, Pending { mode, mtime }) in pending {
            let (parent, last) = split(&path);
            let dir = match self.dirs.open(parent) {
                Ok(dir) => dir,
                // Reached through a link that was replaced meanwhile.
                Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(error),
            };
            set_time_at(&dir, last, mtime)?;
            if let Some(mode) = mode {
                dir.chmod(name(last), mode)?;
            }
        }
        self.attributes.finish()?;
        Ok(Finished {
            recorded_nodes: self.recorded_nodes,
            refused_xattrs: self.attributes.refused_xattrs,
            implied: self.implied.into_iter().collect(),
            replaced: self.replaced,
        })
    }

    /// The directory that an entry goes to; one that the archive doesn't hold is made.
    fn parent(&mut self, path: &[u8]) -> Result<Arc<Root>> {
        match self.dirs.open(path) {
            Err(error) if error.is_not_found() => {}
            // Something else stands there, and the archive goes on as if it were a directory: it becomes one.
            Err(error) if error.errno() == Errno::NOTDIR && self.is_in_the_way(path)? => {}
            opened => return opened,
        }
        let (parent, last) = split(path);
        let dir = self.parent(parent)?;
        if dir.stat(name(last)).is_ok_and(|stat| stat.is_symlink()) {
            // A link that leads nowhere in this tree: making what it means would be guessing.
            return Err(Error::new("openat2", name(path), Errno::NOENT));
        }
        let entry = self.implied(path)?;
        self.make_dir(&dir, last, &entry)?;
        self.dirs.open(path)
    }

    /// Whether what stands at `path` may be replaced by a directory: whatever isn't a link. (A link to something that
    /// isn't a directory stays the error that it is.)
    fn is_in_the_way(&mut self, path: &[u8]) -> Result<bool> {
        let (parent, last) = split(path);
        match self.dirs.open(parent) {
            Ok(dir) => Ok(!dir.stat(name(last))?.is_symlink()),
            Err(_) => Ok(true),
        }
    }

    /// A directory that is only implied looks as the one below it, or as nothing special.
    fn implied(&mut self, path: &[u8]) -> Result<Entry> {
        if let Some(entry) = from_lowers(self.lowers, path)? {
            return Ok(entry);
        }
        self.implied.insert(path.to_vec());
        let mut entry = Entry::new(path, Kind::Dir);
        (entry.uid, entry.gid) = self.attributes.default_owner();
        Ok(entry)
    }

    fn make_file(&mut self, dir: &Root, last: &[u8], entry: &Entry) -> Result<NewFile> {
        let made = self.attributes.initial_mode(entry);
        let file = self.replacing(dir, last, entry, |dir| dir.create(name(last), made, true))?;
        Ok(NewFile { content: SparseFile::new(file), made })
    }

    fn make_dir(&mut self, dir: &Root, last: &[u8], entry: &Entry) -> Result<()> {
        let mode = if self.late_modes { 0o700 } else { entry.mode & 0o777 };
        let mut was_whiteout = false;
        if let Err(error) = dir.mkdir(name(last), mode) {
            if error.errno() != Errno::EXIST {
                return Err(error);
            }
            if !dir.stat(name(last))?.is_dir() {
                was_whiteout = self.clear(dir, last, &entry.path)? == Cleared::Whiteout;
                dir.mkdir(name(last), mode)?;
            }
        }
        let opened = dir.open_dir_nofollow(name(last))?;
        self.attributes.set(&opened, entry, u32::MAX, !self.late_modes)?;
        if was_whiteout {
            // The layer deletes the lower directory, and then has one of its own.
            xattr::set(&opened, name(OPAQUE), b"y")?;
        }
        let late_mode = self.late_modes.then_some(entry.mode);
        self.pending.insert(entry.path.clone(), Pending { mode: late_mode, mtime: entry.mtime });
        self.dirs.remember(&entry.path, opened);
        Ok(())
    }

    fn make_hardlink(&mut self, dir: &Root, last: &[u8], entry: &Entry) -> Result<()> {
        let (parent, target) = split(&entry.link);
        let from = self.dirs.open(parent).map_err(|error| error.at(name(&entry.link)))?;
        let stat = from.stat(name(target)).map_err(|error| error.at(name(&entry.link)))?;
        if stat.is_dir() || is_whiteout(&from, target, &stat)? {
            return Err(Error::new("linkat", name(&entry.link), Errno::PERM));
        }
        let to = dir.stat(name(last));
        if to.is_ok_and(|to| (to.dev, to.ino) == (stat.dev, stat.ino)) {
            return Ok(());
        }
        self.replacing(dir, last, entry, |dir| {
            rustix::fs::linkat(&*from, name(target), dir, name(last), rustix::fs::AtFlags::empty())
                .map_err(|errno| Error::new("linkat", name(&entry.path), errno))
        })
    }

    fn make_node(&mut self, dir: &Root, last: &[u8], entry: &Entry) -> Result<()> {
        if entry.kind == Kind::Char && entry.rdev == (0, 0) && self.whiteouts == Whiteouts::Overlay {
            // In a layer tree that node is a deletion, so it can only be meant as one.
            return self.make_whiteout(dir, last, entry);
        }
        let kind = if entry.kind == Kind::Block { BLOCK } else { CHAR };
        match self.replacing(dir, last, entry, |dir| dir.mknod(name(last), kind | entry.mode & 0o777, entry.rdev)) {
            Ok(()) => return self.attributes.set_at(dir, last, entry, &self.root),
            Err(error) if error.errno() == Errno::PERM => {}
            Err(error) => return Err(error),
        }
        let mut file = self.make_file(dir, last, entry)?;
        file.made = u32::MAX;
        let inner = file.content.finish().map_err(|error| Error::from_io("open", name(&entry.path), &error))?;
        xattr::set(&inner, name(NODE), encode_node(entry.kind, entry.rdev).as_bytes())?;
        self.recorded_nodes += 1;
        self.finish_file(NewFile { content: SparseFile::new(inner), made: u32::MAX }, entry)
    }

    fn make_whiteout(&mut self, dir: &Root, last: &[u8], entry: &Entry) -> Result<()> {
        if self.whiteouts == Whiteouts::Remove {
            return self.remove_lower(dir, last, &entry.path);
        }
        match dir.stat(name(last)) {
            // What this layer has itself stays; of a directory, it hides what lies below.
            Ok(stat) if stat.is_dir() => return self.make_opaque(&entry.path),
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        match dir.mknod(name(last), CHAR, (0, 0)) {
            Err(error) if error.errno() == Errno::PERM => {
                let file = dir.create(name(last), 0o600, true)?;
                xattr::set(&file, name(WHITEOUT), b"y")?;
                match xattr::get(dir, name(OPAQUE))? {
                    Some(_) => Ok(()),
                    None => xattr::set(dir, name(OPAQUE), b"x"),
                }
            }
            made => made,
        }
    }

    fn make_opaque(&mut self, path: &[u8]) -> Result<()> {
        let dir = self.parent(path)?;
        match self.whiteouts {
            Whiteouts::Overlay => xattr::set(&*dir, name(OPAQUE), b"y"),
            Whiteouts::Remove => {
                let names = sys::dirents::Dirents::new(dir.open_dir("")?.into_fd());
                for found in names {
                    let found = found?.name;
                    let child = [path, b"/", found.as_encoded_bytes()].concat();
                    self.remove_lower(&dir, found.as_encoded_bytes(), &child)?;
                }
                Ok(())
            }
        }
    }

    /// Deletes what lower layers left at `path`; what this one made stays.
    fn remove_lower(&mut self, dir: &Root, last: &[u8], path: &[u8]) -> Result<()> {
        if self.made.contains(path) {
            let is_dir = dir.stat(name(last))?.is_dir();
            return if is_dir { self.make_opaque(path) } else { Ok(()) };
        }
        if self.made.range(below(path)).next().is_some() {
            return self.make_opaque(path);
        }
        self.removed(path);
        self.replaced = true;
        dir.remove_all(name(last))
    }

    /// Runs `make`, which fails where something is; then what is there goes away first.
    fn replacing<T>(&mut self, dir: &Root, last: &[u8], entry: &Entry, make: impl Fn(&Root) -> Result<T>) -> Result<T> {
        match make(dir) {
            Err(error) if error.errno() == Errno::EXIST => {
                self.clear(dir, last, &entry.path)?;
                make(dir)
            }
            made => made,
        }
    }

    fn clear(&mut self, dir: &Root, last: &[u8], path: &[u8]) -> Result<Cleared> {
        let stat = dir.stat(name(last))?;
        let whiteout = is_whiteout(dir, last, &stat)?;
        self.replaced |= !whiteout;
        if stat.is_dir() {
            self.removed(path);
        }
        dir.remove_all(name(last))?;
        Ok(if whiteout { Cleared::Whiteout } else { Cleared::Nothing })
    }

    /// Forgets what was known of a directory, and of all below it.
    fn removed(&mut self, path: &[u8]) {
        self.dirs.forget();
        self.pending.remove(path);
        let gone: Vec<_> = self.pending.range(below(path)).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.pending.remove(&path);
        }
        self.implied.retain(|implied| implied != path && !below(path).contains(implied));
    }
}

/// The range of all paths inside the directory `path`, in the order of bytes.
fn below(path: &[u8]) -> std::ops::Range<Vec<u8>> {
    const AFTER_SLASH: u8 = b'/' + 1;
    [path, b"/"].concat()..[path, &[AFTER_SLASH]].concat()
}

/// Whether what `stat` describes is a deletion, in either form.
pub(super) fn is_whiteout(dir: &Root, last: &[u8], stat: &Stat) -> Result<bool> {
    match stat.kind() {
        sys::FileKind::Char => Ok(stat.rdev == (0, 0)),
        sys::FileKind::File if stat.size == 0 => {
            Ok(xattr::get_at(std::os::fd::AsFd::as_fd(dir), name(last), name(WHITEOUT))?.is_some())
        }
        _ => Ok(false),
    }
}
