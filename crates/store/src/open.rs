//! Opening a store: who may, and which version wrote it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::key_lock::{Failure, KeyLock};
use crate::layout::{Layout, VERSION};
use crate::lease::{self, CollectLock, Lease, Pins};
use crate::room::Room;
use crate::{FsBlobs, Index, blobs, index, random, upload};

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no store here, and none was to be made.
    #[error("no store at {path}")]
    Absent {
        /// Where one was expected.
        path: PathBuf,
    },
    /// The directory belongs to somebody else, who could change what we trust.
    #[error("store {path} belongs to user {owner}, not to user {user}")]
    Owner {
        /// The store.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// A newer version of the program wrote the store.
    #[error("store {path} has format {found}, this version knows {known}")]
    Newer {
        /// The store.
        path: PathBuf,
        /// The format it says.
        found: u32,
        /// The newest known one.
        known: u32,
    },
    /// The directory holds something else.
    #[error("{path} is not a store: it holds files, but no version")]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// The version file does not hold a number.
    #[error("{path} holds {text:?} instead of a version")]
    Version {
        /// The version file.
        path: PathBuf,
        /// What it holds.
        text: String,
    },
    /// A kernel call failed.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A blob operation failed.
    #[error(transparent)]
    Blob(#[from] blobs::Error),
    /// An index operation failed.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The limit.
    #[error(transparent)]
    Room(#[from] crate::RoomError),
}

/// The result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An open store.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    blobs: FsBlobs,
    index: Index,
    room: Arc<Room>,
}

impl Store {
    /// Opens the store at `root`, which becomes one when it is absent or empty.
    ///
    /// # Errors
    /// When it belongs to another user, a newer version wrote it, or it is something else.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let layout = Layout::new(root);
        if !has_version(&layout)? {
            create(&layout)?;
        }
        Self::open_laid(layout, true)
    }

    /// Opens a store that is there. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Absent`] when there is none; else as [`Self::open`].
    pub fn open_existing(root: impl Into<PathBuf>) -> Result<Self> {
        let layout = Layout::new(root);
        if !has_version(&layout)? {
            return Err(Error::Absent { path: layout.root().to_path_buf() });
        }
        Self::open_laid(layout, false)
    }

    fn open_laid(layout: Layout, create: bool) -> Result<Self> {
        let room = Room::new(&layout);
        Self::with_room(layout, room, create)
    }

    fn with_room(layout: Layout, room: Arc<Room>, create: bool) -> Result<Self> {
        let index = Index::open(&layout.index(), create)?;
        let blobs = FsBlobs::new(&layout, &room);
        Ok(Self { layout, blobs, index, room })
    }

    /// Opens the same store once more, for another thread: with the same room.
    ///
    /// # Errors
    /// When the index cannot be opened.
    pub fn again(&self) -> Result<Self> {
        Self::with_room(self.layout.clone(), Arc::clone(&self.room), false)
    }

    /// What may still be taken on disk.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// The store's paths.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// The blobs.
    pub fn blobs(&self) -> &FsBlobs {
        &self.blobs
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Claims what this process will make and pin, until the lease is dropped.
    ///
    /// # Errors
    /// When its file cannot be made.
    pub fn lease(&self) -> Result<Lease> {
        Lease::take(&self.layout).map_err(|(path, failure)| io_error(&path)(failure))
    }

    /// Waits until this process alone may run `key` (a safe file name, such as hexadecimal digits).
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub fn lock_key(&self, key: &str) -> Result<KeyLock> {
        let path = self.layout.locks().join(key);
        KeyLock::wait(&path).map_err(io_error(&path))
    }

    /// The lock on `key`, or `None` while another holds it.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub fn try_lock_key(&self, key: &str) -> Result<Option<KeyLock>> {
        let path = self.layout.locks().join(key);
        KeyLock::attempt(&path).map_err(io_error(&path))
    }

    /// What live processes use, at this moment.
    ///
    /// # Errors
    /// When a lease cannot be read.
    pub fn pins(&self) -> Result<Pins> {
        lease::pins(&self.layout).map_err(|(path, failure)| io_error(&path)(failure))
    }

    /// Starts a collection: waits for another one, holds pins off, and tells what live processes use.
    /// Partial writes and leases of dead processes are removed on the way.
    ///
    /// # Errors
    /// When a lock or a lease cannot be read.
    pub fn collect(&self) -> Result<(CollectLock, Pins)> {
        let path = self.layout.collect_lock();
        let lock = CollectLock::take(&self.layout).map_err(io_error(&path))?;
        let pins = lease::pins(&self.layout).map_err(|(path, failure)| io_error(&path)(failure))?;
        Ok((lock, pins))
    }
}

fn io_error(path: &Path) -> impl FnOnce(Failure) -> Error + use<> {
    let path = path.to_path_buf();
    move |(call, source)| Error::Io { call, path, source }
}

/// Whether there is a store of ours that we understand.
fn has_version(layout: &Layout) -> Result<bool> {
    let root = layout.root();
    let metadata = match fs::metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(|error| io_error(root)(("stat", error)))?,
    };
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(Error::Owner { path: root.to_path_buf(), owner: metadata.uid(), user });
    }
    let path = layout.version();
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(|error| io_error(&path)(("read", error)))?,
    };
    match text.trim().parse::<u32>() {
        Ok(found) if found > VERSION => Err(Error::Newer { path: root.to_path_buf(), found, known: VERSION }),
        Ok(_) => Ok(true),
        Err(_) => Err(Error::Version { path, text }),
    }
}

/// Lays the folders. The version comes last: until it is there, this is no store, and the next process
/// starts over. Processes that race lay the same things.
fn create(layout: &Layout) -> Result<()> {
    let root = layout.root();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(root).map_err(|error| io_error(root)(("mkdir", error)))?;
    refuse_foreign(layout)?;
    fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .map_err(|error| io_error(root)(("chmod", error)))?;
    for folder in layout.folders() {
        builder.create(&folder).map_err(|error| io_error(&folder)(("mkdir", error)))?;
    }
    drop(Index::open(&layout.index(), true)?);
    let partial = layout.ingest().join(random::hex32());
    let path = layout.version();
    File::create(&partial)
        .and_then(|mut file| file.write_all(format!("{VERSION}\n").as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&partial, &path))
        .map_err(|error| io_error(&path)(("write", error)))?;
    upload::sync_folder(root)?;
    Ok(())
}

/// Only an empty directory, or one that a dying process began to lay, may become a store.
fn refuse_foreign(layout: &Layout) -> Result<()> {
    let root = layout.root();
    let mut ours: Vec<PathBuf> = layout.folders().into();
    ours.extend([layout.blobs(), layout.compressed(), layout.index(), layout.version()]);
    // A limit may be there before the store is.
    ours.extend([layout.config(), layout.room()]);
    let fail = |error| io_error(root)(("read directory", error));
    for entry in fs::read_dir(root).map_err(fail)? {
        let path = entry.map_err(|error| io_error(root)(("read directory", error)))?.path();
        let index = path.to_string_lossy().starts_with(&*layout.index().to_string_lossy());
        if !index && !ours.contains(&path) {
            return Err(Error::NotAStore { path: root.to_path_buf() });
        }
    }
    Ok(())
}
