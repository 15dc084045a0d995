//! An OCI layout in a folder as a target. A blob is written beside its name, compared, synced and renamed; what an
//! interrupted copy left is taken up again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::StreamExt;
use oci::{Descriptor, Digest, Hasher};
use remote::Source as _;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::mpsc;

use super::Told;
use super::index_json::{LAYOUT, merged, named};
use crate::transfer::Step;
use crate::transfer::copy::checked::Checked;
use crate::transfer::copy::document::Document;
use crate::transfer::copy::source::blob_path;
use crate::transfer::copy::{CopyError, Pace, Which};

/// Pieces that wait for the disk.
const WAITING: usize = 4;
/// What is read at once of an earlier try.
const READ: usize = 1 << 20;

/// A folder.
pub(crate) struct Folder {
    dir: PathBuf,
    which: Which,
    /// What index.json lists beside the image: what refers to it.
    beside: Mutex<Vec<Descriptor>>,
}

impl Folder {
    /// Makes the folder where it is missing.
    pub(super) fn open(dir: &Path, which: Which) -> Result<Self, CopyError> {
        fs::create_dir_all(dir).map_err(|error| CopyError::io("mkdir", dir, error))?;
        let occupied = fs::read_dir(dir).map_err(|error| CopyError::io("read directory", dir, error))?.next().is_some();
        if occupied && !dir.join("oci-layout").exists() && !dir.join("blobs").exists() {
            let problem = "it holds other files: name a new folder, or an empty one".to_owned();
            return Err(CopyError::NoLayout { path: dir.to_path_buf(), problem });
        }
        Ok(Self { dir: dir.to_path_buf(), which, beside: Mutex::default() })
    }

    /// Brings a blob; gives the bytes that moved.
    pub(super) async fn blob(
        &self,
        descriptor: &Descriptor,
        source: Checked,
        told: Told<'_>,
    ) -> Result<u64, CopyError> {
        let (path, digest, size) = (self.dir.join(blob_path(&descriptor.digest)), descriptor.digest, descriptor.size);
        for attempt in 0.. {
            let (path, fresh) = (path.clone(), attempt > 0);
            let begun = tokio::task::spawn_blocking(move || Partial::begin(&path, digest, size, fresh));
            let Some(partial) = begun.await.map_err(|error| CopyError::lost(&error))?? else {
                told(Step::Exists);
                return Ok(0);
            };
            let resumed = partial.hasher.size();
            if resumed > 0 {
                told(Step::Resumed { at: resumed });
            }
            match fill(partial, &source, told).await {
                Ok(moved) => {
                    told(Step::Done { moved, digest });
                    return Ok(moved);
                }
                // What lay there was something else: from the start, once.
                Err(CopyError::Digest { .. }) if resumed > 0 => {}
                Err(error) => return Err(error),
            }
        }
        Err(CopyError::Bytes { digest, message: "it could not be written".to_owned() })
    }

    /// Brings a document.
    pub(super) async fn document(&self, document: &Document, subject: Option<&Digest>) -> Result<bool, CopyError> {
        let path = self.dir.join(blob_path(&document.digest));
        if subject.is_some() {
            let mut beside = self.beside.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            beside.push(document.descriptor());
        }
        let bytes = document.bytes.clone();
        let written = move || match fs::metadata(&path) {
            Ok(found) if found.len() == bytes.len() as u64 => Ok(false),
            _ => replace(&path, &bytes).map(|()| true),
        };
        tokio::task::spawn_blocking(written).await.map_err(|error| CopyError::lost(&error))?
    }

    /// Writes the layout's own files: the name points at the image now.
    pub(super) async fn finish(self, top: &Descriptor) -> Result<(), CopyError> {
        let top = top.clone();
        tokio::task::spawn_blocking(move || self.write_index(&top)).await.map_err(|error| CopyError::lost(&error))?
    }

    fn write_index(self, top: &Descriptor) -> Result<(), CopyError> {
        let lock = File::open(&self.dir).map_err(|error| CopyError::io("open", &self.dir, error))?;
        // Two copies into one layout: each sees the other's images.
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| CopyError::io("flock", &self.dir, error.into()))?;
        let marker = self.dir.join("oci-layout");
        if !marker.exists() {
            replace(&marker, LAYOUT)?;
        }
        let path = self.dir.join("index.json");
        let old = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other.map_err(|error| CopyError::io("read", &path, error))?),
        };
        let beside = self.beside.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let new: Vec<Descriptor> = std::iter::once(named(top, &self.which))
            .chain(beside.into_iter().filter(|one| one.digest != top.digest))
            .collect();
        replace(&path, &merged(&self.dir, old.as_deref(), &new)?)
    }
}

/// A blob that is not whole yet: `.HEX.partial` beside its name, locked by its writer.
struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    hasher: Hasher,
    digest: Digest,
    size: u64,
}

impl Partial {
    /// Waits for other writers; `None` when the blob is there.
    fn begin(target: &Path, digest: Digest, size: u64, fresh: bool) -> Result<Option<Self>, CopyError> {
        let parent = target.parent().unwrap_or(target);
        fs::create_dir_all(parent).map_err(|error| CopyError::io("mkdir", parent, error))?;
        let path = target.with_file_name(format!(".{}.partial", digest.hex()));
        loop {
            if fs::metadata(target).is_ok_and(|found| found.len() == size) {
                return Ok(None);
            }
            let failed = |call| {
                let path = path.clone();
                move |error| CopyError::io(call, &path, error)
            };
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = file.map_err(failed("create"))?;
            flock(&file, FlockOperation::LockExclusive).map_err(|error| failed("flock")(error.into()))?;
            let held = file.metadata().map_err(failed("stat"))?.ino();
            // The writer before us has put its file in place meanwhile: then ours has no name.
            if fs::symlink_metadata(&path).is_ok_and(|found| found.ino() == held) {
                let mut hasher = Hasher::new(digest.algorithm());
                if !fresh {
                    read_through(&mut file, &mut hasher, size).map_err(failed("read"))?;
                }
                file.set_len(hasher.size()).map_err(failed("truncate"))?;
                file.seek(SeekFrom::End(0)).map_err(failed("seek"))?;
                return Ok(Some(Self { file, path, target: target.to_path_buf(), hasher, digest, size }));
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), CopyError> {
        let found = self.hasher.size() + bytes.len() as u64;
        if found > self.size {
            return Err(CopyError::Length { digest: self.digest, expected: self.size, found });
        }
        self.file.write_all(bytes).map_err(|error| CopyError::io("write", &self.path, error))?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Compares, syncs, and lets it appear.
    fn commit(self) -> Result<(), CopyError> {
        let found = self.hasher.size();
        if found != self.size {
            return Err(CopyError::Length { digest: self.digest, expected: self.size, found });
        }
        let found = self.hasher.finish();
        if found != self.digest {
            drop(fs::remove_file(&self.path));
            return Err(CopyError::Digest { expected: self.digest, found });
        }
        self.file.sync_all().map_err(|error| CopyError::io("fsync", &self.path, error))?;
        fs::rename(&self.path, &self.target).map_err(|error| CopyError::io("rename to", &self.target, error))?;
        sync_parent(&self.target)
    }
}

fn read_through(file: &mut File, hasher: &mut Hasher, most: u64) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    let mut file = file.take(most);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Writes what the source gives; the disk and the hashing have a thread of their own. Gives the bytes that moved.
async fn fill(partial: Partial, source: &Checked, told: Told<'_>) -> Result<u64, CopyError> {
    let (digest, size, start) = (partial.digest, partial.size, partial.hasher.size());
    let (pieces, mut taken) = mpsc::channel::<Bytes>(WAITING);
    let writer = tokio::task::spawn_blocking(move || {
        let mut partial = partial;
        while let Some(piece) = taken.blocking_recv() {
            partial.push(&piece)?;
        }
        Ok::<_, CopyError>(partial)
    });
    let mut pace = Pace::default();
    let mut done = start;
    let mut failed = None;
    if start < size {
        let message = |error: remote::SourceError| CopyError::Bytes { digest, message: error.to_string() };
        let mut stream = source.open(start).await.map_err(message)?;
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => {
                    done += piece.len() as u64;
                    if pieces.send(piece).await.is_err() {
                        break;
                    }
                    pace.tell(|| told(Step::Moved { done, total: Some(size) }));
                }
                Err(error) => {
                    failed = Some(message(error));
                    break;
                }
            }
        }
    }
    drop(pieces);
    let partial = writer.await.map_err(|error| CopyError::lost(&error))??;
    if let Some(error) = failed {
        return Err(error);
    }
    tokio::task::spawn_blocking(move || partial.commit()).await.map_err(|error| CopyError::lost(&error))??;
    Ok(done - start)
}

/// A small file, whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), CopyError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|error| CopyError::io("mkdir", parent, error))?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", store::LayerId::mint()));
    let partial = path.with_file_name(name);
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    });
    if written.is_err() {
        // What failed first is what counts.
        drop(fs::remove_file(&partial));
    }
    written.map_err(|error| CopyError::io("write", path, error))?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> Result<(), CopyError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|error| CopyError::io("fsync", parent, error))
}
