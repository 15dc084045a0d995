//! A container's files: read, and replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runtime::snapshot::KeptTree;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sys::lock::Lock;

use crate::config::VERSION;
use crate::containers::KILLED;
use crate::error::{ContainersError, Result, io_at};
use crate::layout::Folder;
use crate::{Config, State, Status};

/// How long apart a lock is tried that another holds for a moment.
const PAUSE: Duration = Duration::from_millis(1);
/// How long others may take to change what was asked: connecting to a network may start its keeper.
const CHANGES: Duration = Duration::from_secs(30);

/// The unit in which a file's blocks are counted.
const BLOCK: u64 = 512;

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

    /// Keeps others from changing what was asked, between reading and writing it.
    ///
    /// # Errors
    /// [`ContainersError::Busy`]; what the system refuses.
    pub fn lock_config(&self) -> Result<Lock> {
        let path = self.config_lock();
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let lock = take(file.map_err(io_at("open", &path))?, CHANGES)?;
        lock.ok_or_else(|| ContainersError::Busy(self.path().display().to_string()))
    }

    /// Replaces what was asked. What changes it holds [`Folder::lock_config`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_config(&self, config: &Config, durability: Durability) -> Result<()> {
        replace(&self.config(), config, durability)
    }

    /// What happened last, as it was written: it may have ended since. A file that was torn when the machine went down says no more
    /// than that: then it was killed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_state(&self) -> Result<State> {
        match read(&self.state()) {
            Err(error @ ContainersError::Malformed { .. }) => Ok(State {
                status: Status::Exited,
                exit_code: Some(KILLED),
                error: Some(format!("what became of it is lost: {error}")),
                ..State::default()
            }),
            other => Ok(other?.unwrap_or_default()),
        }
    }

    /// Replaces what is known to happen. Only for who holds the lock. On a full disk the file that is there is written over: who
    /// reads it at that moment may find it torn.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_state(&self, state: &State, durability: Durability) -> Result<()> {
        match replace(&self.state(), state, durability) {
            Err(error) if error.is_full() => overwrite(&self.state(), state).or(Err(error)),
            other => other,
        }
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

    /// Returns when these files of it are on disk. All are on their way there before one is waited for, so that one commit of the file
    /// system has them all. Their names come with them: a file system with a journal writes down first what happened first. (That the
    /// folder has its own name is for the folder around it to keep.)
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(crate) fn sync(&self, paths: &[PathBuf]) -> Result<()> {
        let open = |path: &PathBuf| File::open(path).map_err(io_at("open", path));
        let files = paths.iter().map(open).collect::<Result<Vec<_>>>()?;
        for file in &files {
            // A hint: what counts is the sync.
            sys::writeback::start(file, 0, 0);
        }
        for (file, path) in files.iter().zip(paths) {
            file.sync_all().map_err(io_at("fsync", path))?;
        }
        Ok(())
    }

    /// Takes its lock; tries so long at most, since who looks whether it is held has it for a moment. `None`: it is held.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn take_lock(&self, patience: Duration) -> Result<Option<Lock>> {
        take(self.open_lock()?, patience)
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

fn take(mut file: File, patience: Duration) -> Result<Option<Lock>> {
    let until = Instant::now() + patience;
    loop {
        match Lock::try_exclusive(file)? {
            Ok(lock) => return Ok(Some(lock)),
            Err(_) if Instant::now() >= until => return Ok(None),
            Err(back) => file = back,
        }
        std::thread::sleep(PAUSE);
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

/// Writes a file beside, and puts it in place: who reads sees one or the other, whole.
pub(crate) fn replace(path: &Path, value: &impl Serialize, durability: Durability) -> Result<()> {
    let text =
        serde_json::to_vec(value).map_err(|source| ContainersError::Malformed { path: path.to_path_buf(), source })?;
    let partial = path.with_extension(format!("{:016x}.new", random()?));
    let written =
        write(&partial, &text, durability).and_then(|()| fs::rename(&partial, path).map_err(io_at("rename", path)));
    if written.is_err() {
        drop(fs::remove_file(&partial));
    }
    written?;
    match path.parent() {
        // The new name is on disk when its folder is.
        Some(folder) if durability == Durability::Synced => sync_folder(folder),
        _ => Ok(()),
    }
}

/// Writes a file anew in the blocks that it has.
fn overwrite(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    let file = OpenOptions::new().write(true).open(path)?;
    let metadata = file.metadata()?;
    if text.len() as u64 > metadata.blocks() * BLOCK {
        return Err(io::ErrorKind::StorageFull.into());
    }
    // One write, whenever it is cut off: what is shorter ends with spaces.
    let before = usize::try_from(metadata.len()).unwrap_or_default();
    text.resize(text.len().max(before), b' ');
    file.write_all_at(&text, 0)
}

pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_at("fsync", path))
}

fn write(path: &Path, text: &[u8], durability: Durability) -> Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = made.map_err(io_at("create", path))?;
    file.write_all(text).map_err(io_at("write", path))?;
    if durability == Durability::Synced {
        file.sync_all().map_err(io_at("fsync", path))?;
    }
    Ok(())
}

/// Two who write the same file at once do not write into each other's.
fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(crate::id::NameError::Random)?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_state_is_that_of_one_who_was_killed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path().to_path_buf());
        assert_eq!(folder.read_state().unwrap(), State::default());
        fs::write(folder.state(), "{\"status\":\"run").unwrap();
        let state = folder.read_state().unwrap();
        assert_eq!((state.status, state.exit_code, state.is_active()), (Status::Exited, Some(KILLED), false));
        assert!(state.error.unwrap().contains("state.json"));
    }

    #[test]
    fn a_file_is_written_over_in_the_room_that_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        assert!(overwrite(&path, &1).is_err(), "there is none");
        replace(&path, &vec![7; 100], Durability::Synced).unwrap();
        overwrite(&path, &vec![1, 2]).unwrap();
        assert_eq!(read::<Vec<u32>>(&path).unwrap().unwrap(), [1, 2]);
        assert!(overwrite(&path, &vec![7; 1 << 20]).is_err(), "larger than its blocks");
        assert_eq!(read::<Vec<u32>>(&path).unwrap().unwrap(), [1, 2]);
    }

    #[test]
    fn writers_side_by_side_leave_one_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.json");
        std::thread::scope(|scope| {
            for number in 0..4_u32 {
                let path = &path;
                let value = vec![number; 2000 * (number as usize + 1)];
                scope.spawn(move || (0..20).for_each(|_| replace(path, &value, Durability::Fleeting).unwrap()));
            }
        });
        let value: Vec<u32> = read(&path).unwrap().unwrap();
        assert_eq!(value.len(), 2000 * (value[0] as usize + 1));
        replace(&path, &1, Durability::Synced).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_changes_what_was_asked_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path().to_path_buf());
        let lock = folder.lock_config().unwrap();
        assert!(take(File::open(folder.config_lock()).unwrap(), Duration::ZERO).unwrap().is_none());
        drop(lock);
        drop(folder.lock_config().unwrap());
    }
}
