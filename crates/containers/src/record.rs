//! A container's files: read, and replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use runtime::snapshot::KeptTree;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sys::lock::Lock;

use crate::config::VERSION;
use crate::error::{ContainersError, Result, io_at};
use crate::layout::Folder;
use crate::{Config, State};

/// How long apart a lock is tried that another holds for a moment.
const PAUSE: Duration = Duration::from_millis(1);

/// Whether a file is on disk when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It is.
    Synced,
    /// It may be lost with the power: what it tells is soon gone anyhow.
    Fleeting,
}

impl Folder {
    /// What was asked.
    ///
    /// # Errors
    /// When the file cannot be read, or is a later version's.
    pub fn read_config(&self) -> Result<Config> {
        let path = self.config();
        let config: Config = read(&path)?.ok_or_else(|| io_at("open", &path)(io::ErrorKind::NotFound.into()))?;
        if config.version > VERSION {
            return Err(ContainersError::Newer { path, found: config.version });
        }
        Ok(config)
    }

    /// Replaces what was asked.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_config(&self, config: &Config, durability: Durability) -> Result<()> {
        replace(&self.config(), config, durability)
    }

    /// What happened last, as it was written: it may have ended since.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_state(&self) -> Result<State> {
        Ok(read(&self.state())?.unwrap_or_default())
    }

    /// Replaces what is known to happen. Only for who holds the lock.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_state(&self, state: &State, durability: Durability) -> Result<()> {
        replace(&self.state(), state, durability)
    }

    /// What its file tree is made of.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_tree(&self) -> Result<KeptTree> {
        let path = self.tree();
        read(&path)?.ok_or_else(|| io_at("open", &path)(io::ErrorKind::NotFound.into()))
    }

    /// Writes what its file tree is made of.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_tree(&self, tree: &KeptTree, durability: Durability) -> Result<()> {
        replace(&self.tree(), tree, durability)
    }

    /// Takes its lock; tries so long at most, since who looks whether it is held has it for a moment. `None`: it is held.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn take_lock(&self, patience: Duration) -> Result<Option<Lock>> {
        let until = Instant::now() + patience;
        let mut file = self.open_lock()?;
        loop {
            match Lock::try_exclusive(file)? {
                Ok(lock) => return Ok(Some(lock)),
                Err(_) if Instant::now() >= until => return Ok(None),
                Err(back) => file = back,
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether a supervisor, or who starts or removes it, holds its lock.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn is_held(&self) -> Result<bool> {
        Ok(Lock::try_shared(self.open_lock()?)?.is_err())
    }

    fn open_lock(&self) -> Result<File> {
        let path = self.lock();
        File::open(&path).map_err(io_at("open", &path))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(source) => Err(ContainersError::Malformed { path: path.to_path_buf(), source }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_at("read", path)(error)),
    }
}

/// Writes a file beside, and puts it in place. There is one writer at a time: who holds the lock.
pub(crate) fn replace(path: &Path, value: &impl Serialize, durability: Durability) -> Result<()> {
    let partial = path.with_extension("new");
    let text =
        serde_json::to_vec(value).map_err(|source| ContainersError::Malformed { path: path.to_path_buf(), source })?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(io_at("create", &partial))?;
    file.write_all(&text).map_err(io_at("write", &partial))?;
    if durability == Durability::Synced {
        file.sync_all().map_err(io_at("fsync", &partial))?;
    }
    fs::rename(&partial, path).map_err(io_at("rename", path))
}
