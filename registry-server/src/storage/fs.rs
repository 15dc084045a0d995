//! Objects as files of one directory.
//!
//! ```text
//! uploads/<id>                          an upload in the making
//! blobs/<algorithm>/<hex>.<8 random>    an object; `<algorithm>/<hex>.<8 random>` is its key, random digits of its upload's id
//! ```
//!
//! A commit renames first and syncs the file and then the directory: one journal commit of ext4 then makes both
//! durable. So a crash can leave a file in `blobs/` whose bytes are not all there; nobody sees it, since the row that
//! names a key is written after the commit. A file without a row is litter, and whoever
//! makes rows from files has to hash them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use oci::{Algorithm, Digest};
use rustix::fs::{AtFlags, FallocateFlags, OFlags, RenameFlags};
use rustix::io::Errno;

use super::directory::Directory;
use super::{Error, Object, ObjectKey, ObjectWriter, Objects, Result, Space, UploadId};

/// Dirty bytes of an upload that are written out while the next come in, so that its fsync finds little to do.
const WRITEBACK: u64 = 4 << 20;

/// Room is allocated ahead of announced bytes by at most this much, and by no more than twice what really came:
/// a client that announces a terabyte and sends nothing takes nothing.
const ALLOCATE_AHEAD: u64 = 64 << 20;

/// The least that is worth an allocation of its own.
const ALLOCATE_LEAST: u64 = 1 << 20;

/// Objects in files below a root. Cheap to open: nothing is read.
#[derive(Debug)]
pub struct FsObjects {
    uploads: Directory,
    sha256: Directory,
    sha512: Directory,
}

impl FsObjects {
    /// Opens the objects below `root`, an existing directory, making what is missing.
    ///
    /// # Errors
    /// When a directory cannot be made, opened or synced.
    pub fn open(root: &Path) -> Result<Self> {
        let blobs = Directory::open(root.join("blobs"))?;
        let objects = Self {
            uploads: Directory::open(root.join("uploads"))?,
            sha256: Directory::open(root.join("blobs/sha256"))?,
            sha512: Directory::open(root.join("blobs/sha512"))?,
        };
        blobs.sync()?;
        Directory::open(root.to_owned())?.sync()?;
        Ok(objects)
    }

    fn directory(&self, algorithm: Algorithm) -> &Directory {
        match algorithm {
            Algorithm::Sha256 => &self.sha256,
            Algorithm::Sha512 => &self.sha512,
        }
    }

    /// The directory and name of a key; [`Error::Missing`] for what no commit has made.
    fn place<'a>(&self, key: &'a ObjectKey) -> Result<(&Directory, &'a str)> {
        let missing = || Error::Missing(key.0.clone());
        let (algorithm, name) = key.0.split_once('/').ok_or_else(missing)?;
        let digest = parse_name(algorithm, name).ok_or_else(missing)?;
        Ok((self.directory(digest.algorithm()), name))
    }

    /// Where an object's file is; `None` for what is no key of ours.
    pub fn path(&self, key: &ObjectKey) -> Option<PathBuf> {
        let (directory, name) = self.place(key).ok()?;
        Some(directory.path().join(name))
    }

    fn upload_path(&self, upload: &UploadId) -> PathBuf {
        self.uploads.path().join(upload.as_str())
    }

    fn upload_file(&self, upload: &UploadId, flags: OFlags) -> Result<File> {
        self.uploads.file(upload.as_str(), flags).map_err(|errno| match errno {
            Errno::NOENT => Error::Missing(upload.as_str().to_owned()),
            errno => Error::call("open", &self.upload_path(upload), errno),
        })
    }
}

/// The name of an upload's bytes under a digest.
fn name(upload: &UploadId, digest: &Digest) -> String {
    format!("{}.{}", digest.hex(), &upload.as_str()[..8])
}

/// A new name for a digest, unlike any other.
pub(super) fn new_name(digest: &Digest) -> Result<String> {
    Ok(name(&UploadId::random()?, digest))
}

/// The digest in a name that [`name`] made, in the directory of `algorithm`.
fn parse_name(algorithm: &str, name: &str) -> Option<Digest> {
    let (hex, random) = name.split_once('.')?;
    let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if random.len() != 8 || !random.bytes().all(lower_hex) {
        return None;
    }
    format!("{algorithm}:{hex}").parse().ok()
}

fn size_of(file: &File, path: &Path) -> Result<u64> {
    let status = rustix::fs::fstat(file).map_err(|errno| Error::call("fstat", path, errno))?;
    Ok(u64::try_from(status.st_size).unwrap_or_default())
}

/// Frees what was allocated ahead and never written.
fn give_back(file: &File) -> rustix::io::Result<()> {
    let status = rustix::fs::fstat(file)?;
    let (size, allocated) = (u64::try_from(status.st_size), u64::try_from(status.st_blocks));
    match (size, allocated) {
        (Ok(size), Ok(blocks)) if blocks * 512 > size + ALLOCATE_LEAST / 4 => rustix::fs::ftruncate(file, size),
        _ => Ok(()),
    }
}

/// Makes a file that has its final name durable: its bytes, then the name. Takes the name away where that fails.
pub(super) fn settle(file: &File, directory: &Directory, name: &str) -> Result<()> {
    let synced = rustix::fs::fsync(file)
        .map_err(|errno| Error::call("fsync", &directory.path().join(name), errno))
        .and_then(|()| directory.sync());
    if synced.is_err() {
        let _gone_or_litter = rustix::fs::unlinkat(directory, name, AtFlags::empty());
    }
    synced
}

impl Objects for FsObjects {
    fn begin(&self, upload: &UploadId) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let made = self.uploads.file(upload.as_str(), flags);
        made.map(drop).map_err(|errno| Error::call("create", &self.upload_path(upload), errno))
    }

    fn length(&self, upload: &UploadId) -> Result<Option<u64>> {
        match rustix::fs::statat(&self.uploads, upload.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(Some(u64::try_from(status.st_size).unwrap_or_default())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::call("stat", &self.upload_path(upload), errno)),
        }
    }

    fn writer(&self, upload: &UploadId, offset: u64) -> Result<Box<dyn ObjectWriter>> {
        let file = self.upload_file(upload, OFlags::WRONLY)?;
        let path = self.upload_path(upload);
        let length = size_of(&file, &path)?;
        if length < offset {
            return Err(Error::Missing(format!("{} from byte {length} on", upload.as_str())));
        }
        if length > offset {
            rustix::fs::ftruncate(&file, offset).map_err(|errno| Error::call("ftruncate", &path, errno))?;
        }
        Ok(Box::new(FsWriter { file, path, at: offset, started: offset, allocated: offset, announced: 0 }))
    }

    fn partial(&self, upload: &UploadId) -> Result<Object> {
        let file = self.upload_file(upload, OFlags::RDONLY)?;
        let size = size_of(&file, &self.upload_path(upload))?;
        Ok(Object { file, size })
    }

    fn commit(&self, upload: &UploadId, digest: &Digest) -> Result<ObjectKey> {
        let file = self.upload_file(upload, OFlags::WRONLY)?;
        let directory = self.directory(digest.algorithm());
        let name = name(upload, digest);
        let path = self.upload_path(upload);
        give_back(&file).map_err(|errno| Error::call("ftruncate", &path, errno))?;
        // Never over another object: the loser of two equal uploads removes its own.
        rustix::fs::renameat_with(&self.uploads, upload.as_str(), directory, &name, RenameFlags::NOREPLACE)
            .map_err(|errno| Error::call("rename", &path, errno))?;
        settle(&file, directory, &name)?;
        Ok(ObjectKey(format!("{}/{name}", digest.algorithm().name())))
    }

    fn key(&self, upload: &UploadId, digest: &Digest) -> ObjectKey {
        ObjectKey(format!("{}/{}", digest.algorithm().name(), name(upload, digest)))
    }

    fn recall(&self, upload: &UploadId, key: &ObjectKey) -> Result<bool> {
        let Ok((directory, name)) = self.place(key) else { return Ok(false) };
        match rustix::fs::renameat_with(directory, name, &self.uploads, upload.as_str(), RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::call("rename", &directory.path().join(name), errno)),
        }
    }

    fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<ObjectKey> {
        let directory = self.directory(digest.algorithm());
        let name = new_name(digest)?;
        let path = directory.path().join(&name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = directory.file(&name, flags).map_err(|errno| Error::call("create", &path, errno))?;
        if let Err(error) = file.write_all_at(bytes, 0) {
            let _gone_or_litter = rustix::fs::unlinkat(directory, &name, AtFlags::empty());
            return Err(written(error, &path));
        }
        settle(&file, directory, &name)?;
        Ok(ObjectKey(format!("{}/{name}", digest.algorithm().name())))
    }

    fn adopt(&self, digest: &Digest, file: &File) -> Result<Option<ObjectKey>> {
        super::adopt::adopt(self.directory(digest.algorithm()), digest, file)
    }

    fn abort(&self, upload: &UploadId) -> Result<()> {
        match rustix::fs::unlinkat(&self.uploads, upload.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::call("unlink", &self.upload_path(upload), errno)),
        }
    }

    fn open(&self, key: &ObjectKey) -> Result<Object> {
        let (directory, name) = self.place(key)?;
        let path = directory.path().join(name);
        let file = directory.file(name, OFlags::RDONLY).map_err(|errno| match errno {
            Errno::NOENT => Error::Missing(key.0.clone()),
            errno => Error::call("open", &path, errno),
        })?;
        let size = size_of(&file, &path)?;
        Ok(Object { file, size })
    }

    fn remove(&self, key: &ObjectKey) -> Result<bool> {
        let Ok((directory, name)) = self.place(key) else { return Ok(false) };
        match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::call("unlink", &directory.path().join(name), errno)),
        }
    }

    fn walk(&self, each: &mut dyn FnMut(ObjectKey, Digest, u64) -> Result<()>) -> Result<()> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let directory = self.directory(algorithm);
            for name in names(directory.path())? {
                let name = name?;
                let Some(digest) = parse_name(algorithm.name(), &name) else { continue };
                let size = match rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(status) => u64::try_from(status.st_size).unwrap_or_default(),
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(Error::call("stat", &directory.path().join(name), errno)),
                };
                each(ObjectKey(format!("{}/{name}", algorithm.name())), digest, size)?;
            }
        }
        Ok(())
    }

    fn uploads(&self) -> Result<Vec<UploadId>> {
        let parsed = names(self.uploads.path())?.map(|name| Ok(UploadId::parse(&name?)));
        parsed.filter_map(Result::transpose).collect()
    }

    fn space(&self) -> Result<Space> {
        let status =
            rustix::fs::fstatvfs(&self.uploads).map_err(|errno| Error::call("statvfs", self.uploads.path(), errno))?;
        Ok(Space { free: status.f_bavail * status.f_frsize, total: status.f_blocks * status.f_frsize })
    }
}

/// The names in a directory, those that are text.
fn names(path: &Path) -> Result<impl Iterator<Item = Result<String>>> {
    let failed = |call| {
        let path = path.to_owned();
        move |source| Error::Io { call, path: path.clone(), source }
    };
    let entries = std::fs::read_dir(path).map_err(failed("opendir"))?;
    let failed = failed("readdir");
    Ok(entries.filter_map(move |entry| match entry {
        Ok(entry) => entry.file_name().into_string().ok().map(Ok),
        Err(source) => Some(Err(failed(source))),
    }))
}

fn written(source: std::io::Error, path: &Path) -> Error {
    match Errno::from_io_error(&source) {
        Some(errno) => Error::call("write", path, errno),
        None => Error::Io { call: "write", path: path.to_owned(), source },
    }
}

/// Appends to an upload's file.
#[derive(Debug)]
struct FsWriter {
    file: File,
    path: PathBuf,
    /// Where the next byte goes.
    at: u64,
    /// Up to where writing out has been started.
    started: u64,
    /// Up to where blocks are allocated.
    allocated: u64,
    /// The end of what was announced.
    announced: u64,
}

impl FsWriter {
    /// Allocates ahead of what is written, within what was announced. A hint: the write says whether there is room.
    fn allocate(&mut self, end: u64) {
        let goal = self.announced.min(end.saturating_add(end.clamp(ALLOCATE_LEAST, ALLOCATE_AHEAD)));
        if end <= self.allocated || goal <= end + ALLOCATE_LEAST / 2 {
            return;
        }
        let from = self.allocated.max(self.at);
        let _hint = rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, from, goal - from);
        self.allocated = goal;
    }
}

impl ObjectWriter for FsWriter {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.at + bytes.len() as u64;
        self.allocate(end);
        self.file.write_all_at(bytes, self.at).map_err(|error| written(error, &self.path))?;
        self.at = end;
        if self.at - self.started >= WRITEBACK {
            sys::writeback::start(&self.file, self.started, self.at - self.started);
            self.started = self.at;
        }
        Ok(())
    }

    fn expect(&mut self, bytes: u64) {
        self.announced = self.at.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_the_conformance_suite() {
        super::super::conformance::run(&|| {
            let dir = tempfile::tempdir().expect("a directory");
            let objects = FsObjects::open(dir.path()).expect("objects");
            (Box::new(objects) as Box<dyn Objects>, Box::new(dir) as Box<dyn std::any::Any>)
        });
    }

    #[test]
    fn keys_of_other_shapes_name_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let objects = FsObjects::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        let hex = "a".repeat(64);
        for key in
            ["", "secret", "sha256/../../secret", "../secret", "/etc/passwd", &format!("sha256/{hex}"), "sha256/."]
        {
            let key = ObjectKey(key.to_owned());
            assert!(matches!(objects.open(&key), Err(Error::Missing(_))), "{key:?}");
            assert!(!objects.remove(&key).unwrap());
        }
    }

    #[test]
    fn an_announcement_takes_no_more_than_what_came_deserves() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let objects = FsObjects::open(dir.path()).unwrap();
        let upload = UploadId::random().unwrap();
        objects.begin(&upload).unwrap();
        let mut writer = objects.writer(&upload, 0).unwrap();
        writer.expect(1 << 40);
        let path = dir.path().join("uploads").join(upload.as_str());
        assert_eq!(std::fs::metadata(&path).unwrap().blocks(), 0);
        writer.append(&[1; 1000]).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), 1000);
        assert!(metadata.blocks() * 512 <= 2 << 20, "{} blocks", metadata.blocks());
    }
}
