//! Removing containers, and what was left of those that were half made or half removed.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

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
        let mut swept = Swept::default();
        for id in self.litter()? {
            match self.sweep_one(&id) {
                Ok(true) => swept.containers += 1,
                Ok(false) | Err(_) => swept.left += 1,
            }
        }
        Ok(swept)
    }

    /// Whether there is something for [`Containers::sweep`].
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn is_littered(&self) -> Result<bool> {
        Ok(!self.litter()?.is_empty())
    }

    /// Whose folders are not those of containers.
    fn litter(&self) -> Result<Vec<ContainerId>> {
        let path = self.layout.containers();
        let listing = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_at("read directory", &path))?,
        };
        let mut litter = Vec::new();
        for entry in listing {
            let name = entry.map_err(io_at("read directory", &path))?.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix('.'));
            litter.extend(id.and_then(|id| ContainerId::try_from(id.to_owned()).ok()));
        }
        Ok(litter)
    }

    /// Gives whether it is gone.
    fn sweep_one(&self, id: &ContainerId) -> Result<bool> {
        let folder = self.layout.unfinished(id);
        let _held = match folder.take_lock(Duration::ZERO) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ok(false),
            // About to have one; or what is left of it has none any more.
            Err(error) if is_missing(&error) => {
                let Some(gate) = self.close_gate()? else { return Ok(false) };
                match folder.take_lock(Duration::ZERO) {
                    Ok(Some(lock)) => lock,
                    Ok(None) => return Ok(false),
                    Err(error) if is_missing(&error) => gate,
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        // Made whole, or gone, since it was listed: then what is called so in the store is a container's.
        if !folder.path().try_exists().map_err(io_at("stat", folder.path()))? {
            return Ok(true);
        }
        super::stop::end_leftovers(id.as_str());
        let name = folder.read_config().ok().map(|config| config.name);
        self.discard(id, name.as_deref())?;
        Ok(true)
    }

    /// Waits until nobody is between a folder and its lock. `None`: somebody is, and does not go on.
    fn close_gate(&self) -> Result<Option<Lock>> {
        let until = Instant::now() + PATIENCE;
        let mut file = self.gate()?;
        loop {
            match Lock::try_exclusive(file)? {
                Ok(lock) => return Ok(Some(lock)),
                Err(_) if Instant::now() >= until => return Ok(None),
                Err(back) => file = back,
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// How long is waited for who makes a folder and its lock: it takes microseconds, unless he is stopped between.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

fn is_missing(error: &ContainersError) -> bool {
    matches!(error, ContainersError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
