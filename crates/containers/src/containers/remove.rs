//! Removing containers, and what was left of those that were half made or half removed.

use std::fs;
use std::io;

use sys::Root;
use sys::lock::Lock;

use super::{Container, Containers};
use crate::ContainerId;
use crate::error::{ContainersError, Result, io_at};
use crate::volume::Volumes;

/// What was found half made or half removed, and taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many containers.
    pub containers: usize,
    /// How many could not be removed now: others are at it, or the system refuses.
    pub left: usize,
}

impl Containers {
    /// Removes a container that does not run. Its lock is held by the caller, who is in the namespaces that its files need.
    ///
    /// # Errors
    /// What the system refuses; then the rest is for [`Containers::sweep`].
    pub fn remove(&self, container: &Container, lock: Lock) -> Result<()> {
        self.put_aside(container)?;
        self.discard(&container.config.id, None)?;
        self.tell(&container.config, "destroy");
        // Until here: a sweep takes what nobody holds.
        drop(lock);
        Ok(())
    }

    /// Makes it no container any more; its files are still there.
    pub(super) fn put_aside(&self, container: &Container) -> Result<()> {
        let (id, aside) = (&container.config.id, self.layout.unfinished(&container.config.id));
        fs::rename(container.folder.path(), aside.path()).map_err(io_at("rename", container.folder.path()))?;
        // By its name of now: it may have been renamed since it was read.
        let name = aside.read_config().map_or_else(|_| container.config.name.clone(), |config| config.name);
        self.give_name_up(&name, id)
    }

    /// Removes the files of what is no container (any more). The folder goes last: while it is there, a sweep knows of the rest.
    pub(super) fn discard(&self, id: &ContainerId, name: Option<&str>) -> Result<()> {
        if let Some(name) = name {
            self.give_name_up(name, id)?;
        }
        if let Ok(config) = self.layout.unfinished(id).read_config()
            && config.life.remove
        {
            // What is left of them is for a prune of volumes.
            drop(Volumes::new(&self.layout).remove_anonymous(&config));
        }
        let snapshots = self.store.snapshots();
        match Root::open(&snapshots) {
            Ok(root) => root.remove_all(id.as_str())?,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        store::unpin_lasting(&self.store, id.as_str())?;
        let root = Root::open(self.layout.containers())?;
        Ok(root.remove_all(format!(".{id}"))?)
    }

    /// Takes away what was half made or half removed by who was killed. Only in the namespaces that their files need.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn sweep(&self) -> Result<Swept> {
        let path = self.layout.containers();
        let listing = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Swept::default()),
            other => other.map_err(io_at("read directory", &path))?,
        };
        let mut swept = Swept::default();
        for entry in listing {
            let name = entry.map_err(io_at("read directory", &path))?.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix('.'));
            let Some(id) = id.and_then(|id| ContainerId::try_from(id.to_owned()).ok()) else { continue };
            match self.sweep_one(&id) {
                Ok(true) => swept.containers += 1,
                Ok(false) | Err(_) => swept.left += 1,
            }
        }
        Ok(swept)
    }

    /// Gives whether it is gone.
    fn sweep_one(&self, id: &ContainerId) -> Result<bool> {
        let folder = self.layout.unfinished(id);
        let _lock = match folder.take_lock(std::time::Duration::ZERO) {
            Ok(None) => return Ok(false),
            Ok(lock) => lock,
            // Removed before who removed it was killed; or about to be made.
            Err(ContainersError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                if is_being_made(folder.path()) {
                    return Ok(false);
                }
                None
            }
            Err(error) => return Err(error),
        };
        super::stop::end_leftovers(id.as_str());
        let name = folder.read_config().ok().map(|config| config.name);
        self.discard(id, name.as_deref())?;
        Ok(true)
    }
}

/// Whether a folder without a lock may get one: it was made a moment ago, and has nothing in it yet.
fn is_being_made(path: &std::path::Path) -> bool {
    let is_empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let made = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    is_empty && made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age < MOMENT))
}

/// Longer than anybody needs from a folder to the lock in it.
const MOMENT: std::time::Duration = std::time::Duration::from_secs(2);
