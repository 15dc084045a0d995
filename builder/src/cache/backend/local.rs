//! A folder: an OCI layout, whose `index.json` names the caches in it by `org.opencontainers.image.ref.name`.
//! Specification: OCI image-spec 1.1, "Image Layout".

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use oci::{Descriptor, Digest, Index, media_type};
use sys::lock::Lock;

use super::{Backend, BackendError, Blob, Compared, Content, MAX_MANIFEST};

/// What a cache is called where nobody says.
const DEFAULT_TAG: &str = "latest";
/// The annotation that names an entry of `index.json`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// One read.
const CHUNK: usize = 256 << 10;

/// A cache in a folder.
pub(crate) struct Local {
    dir: PathBuf,
    tag: String,
    /// The one manifest that counts, where the user names it.
    digest: Option<Digest>,
}

impl Local {
    /// The cache named `tag` (`latest` where nobody says) in a folder. Nothing is made before something is written.
    pub(crate) fn new(dir: &Path, tag: Option<&str>, digest: Option<Digest>) -> Self {
        Self { dir: dir.to_path_buf(), tag: tag.unwrap_or(DEFAULT_TAG).to_owned(), digest }
    }

    fn name(&self, part: Option<&str>) -> String {
        part.map_or_else(|| self.tag.clone(), |part| format!("{}.{part}", self.tag))
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    fn index(&self) -> Result<Index, BackendError> {
        let path = self.dir.join("index.json");
        let Some(bytes) = read(&path, MAX_MANIFEST)? else { return Ok(Index::new(Vec::new())) };
        serde_json::from_slice(&bytes).map_err(|error| self.malformed(format!("its index.json: {error}")))
    }

    fn malformed(&self, problem: String) -> BackendError {
        BackendError::Malformed { place: self.place(), problem }
    }

    /// Writes a file whole or not at all.
    fn replace(
        &self,
        path: &Path,
        write: impl FnOnce(&mut File) -> Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        let parent = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(parent).map_err(BackendError::io("mkdir", parent))?;
        let partial = parent.join(format!(".{}-{}", std::process::id(), store::LayerId::mint()));
        let write_all = || {
            let mut file = File::create_new(&partial).map_err(BackendError::io("create", &partial))?;
            write(&mut file)?;
            file.sync_data().map_err(BackendError::io("sync", &partial))?;
            fs::rename(&partial, path).map_err(BackendError::io("rename", path))
        };
        let written = write_all();
        if written.is_err() {
            // What cannot be removed is litter under a name that nobody reads.
            let _ = fs::remove_file(&partial);
        }
        written
    }

    fn put(&self, digest: &Digest, content: Content<'_>) -> Result<(), BackendError> {
        self.replace(&self.blob(digest), |file| match content {
            Content::Bytes(bytes) => file.write_all(bytes).map_err(BackendError::io("write", &self.blob(digest))),
            Content::File(from) => {
                let mut source = File::open(from).map_err(BackendError::io("open", from))?;
                io::copy(&mut source, file).map(drop).map_err(BackendError::io("copy", from))
            }
        })
    }
}

impl Backend for Local {
    fn place(&self) -> String {
        match self.tag.as_str() {
            DEFAULT_TAG => format!("local {}", self.dir.display()),
            tag => format!("local {}:{tag}", self.dir.display()),
        }
    }

    fn get_manifest(&self, part: Option<&str>) -> Result<Option<Vec<u8>>, BackendError> {
        let name = self.name(part);
        let digest = match self.digest.filter(|_| part.is_none()) {
            Some(digest) => digest,
            None => {
                let index = self.index()?;
                let named = |entry: &&Descriptor| entry.annotations.get(REF_NAME) == Some(&name);
                match index.manifests.iter().find(named) {
                    Some(entry) => entry.digest,
                    None => return Ok(None),
                }
            }
        };
        let Some(bytes) = read(&self.blob(&digest), MAX_MANIFEST)? else { return Ok(None) };
        let mut checked = Vec::with_capacity(bytes.len());
        let (place, blob) = (self.place(), Blob { digest, size: bytes.len() as u64 });
        let mut compared = Compared::new(&place, &blob, &mut checked);
        compared.push(&bytes)?;
        compared.finish()?;
        Ok(Some(checked))
    }

    fn put_manifest(&self, part: Option<&str>, media_type: &str, bytes: &[u8]) -> Result<Digest, BackendError> {
        let digest = Digest::sha256(bytes);
        self.put(&digest, Content::Bytes(bytes))?;
        let layout = self.dir.join("oci-layout");
        self.replace(&layout, |file| {
            file.write_all(br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(BackendError::io("write", &layout))
        })?;
        let path = self.dir.join("index.json.lock");
        let lock = File::create(&path).map_err(BackendError::io("create", &path))?;
        // Several builds may write caches of other names here.
        let _lock = Lock::exclusive(lock).map_err(|error| self.malformed(format!("lock its index.json: {error}")))?;
        let mut index = self.index()?;
        let name = self.name(part);
        index.manifests.retain(|entry| entry.annotations.get(REF_NAME) != Some(&name));
        let mut entry = Descriptor::new(media_type, digest, bytes.len() as u64);
        entry.annotations.insert(REF_NAME.to_owned(), name);
        index.manifests.push(entry);
        index.media_type = Some(media_type::OCI_INDEX.to_owned());
        let text = serde_json::to_vec(&index).map_err(|error| self.malformed(error.to_string()))?;
        let path = self.dir.join("index.json");
        self.replace(&path, |file| file.write_all(&text).map_err(BackendError::io("write", &path)))?;
        Ok(digest)
    }

    fn has_blob(&self, blob: &Blob) -> Result<bool, BackendError> {
        let path = self.blob(&blob.digest);
        match fs::metadata(&path) {
            Ok(found) => Ok(found.len() == blob.size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(BackendError::io("stat", &path)(error)),
        }
    }

    fn get_blob(&self, blob: &Blob, into: &mut dyn Write) -> Result<(), BackendError> {
        let (place, path) = (self.place(), self.blob(&blob.digest));
        let mut file = match open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackendError::Absent { place, what: format!("blob {}", blob.digest) });
            }
            other => other.map_err(BackendError::io("open", &path))?,
        };
        let mut compared = Compared::new(&place, blob, into);
        let mut buffer = vec![0; CHUNK];
        loop {
            match file.read(&mut buffer).map_err(BackendError::io("read", &path))? {
                0 => return compared.finish(),
                count => compared.push(&buffer[..count])?,
            }
        }
    }

    fn put_blob(&self, blob: &Blob, content: Content<'_>) -> Result<u64, BackendError> {
        if self.has_blob(blob)? {
            return Ok(0);
        }
        self.put(&blob.digest, content)?;
        Ok(blob.size)
    }
}

/// Opens a file of the folder. Whoever made it may have put a pipe there, which would be waited for without end.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let file = File::options().read(true).custom_flags(flags.cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// A whole file, if it is there and no larger than `limit`.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, BackendError> {
    let file = match open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(BackendError::io("open", path))?,
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(BackendError::io("read", path))?;
    if bytes.len() as u64 > limit {
        let problem = format!("larger than {limit} bytes");
        return Err(BackendError::Malformed { place: path.display().to_string(), problem });
    }
    Ok(Some(bytes))
}
