//! Containers whose settings cannot be read: what is left to do with them is to end and to remove them.

use std::fs;
use std::io;
use std::time::Duration;

use sys::lock::Lock;

use super::Containers;
use super::reconcile::set_right;
use super::stop::{PATIENCE, end_by_supervisor, end_leftovers, is_gone};
use crate::ContainerId;
use crate::error::{ContainersError, Result, io_at};
use crate::event::{Event, Journal};

/// A container that cannot be read, and that nobody else has now.
#[derive(Debug)]
pub struct Unreadable {
    id: ContainerId,
    /// `None` where there is no such file.
    lock: Option<Lock>,
}

impl Containers {
    /// Ends a container without reading its settings, and takes its lock.
    ///
    /// # Errors
    /// [`ContainersError::Busy`]: another command starts or removes it.
    pub fn end_unreadable(&self, id: &ContainerId) -> Result<Unreadable> {
        let folder = self.layout.container(id);
        let mut taken = folder.take_lock(Duration::ZERO);
        if matches!(taken, Ok(None)) {
            end_by_supervisor(&folder, &folder.read_state()?);
            taken = folder.take_lock(PATIENCE / 4);
        }
        let lock = match taken {
            Ok(None) => return Err(ContainersError::Busy(id.short().to_owned())),
            Err(error) if !is_gone(&error) => return Err(error),
            other => other.unwrap_or_default(),
        };
        let mut state = folder.read_state()?;
        if state.is_active() {
            set_right(&mut state, id.as_str(), &store::boot_id().unwrap_or_default());
        }
        end_leftovers(id.as_str());
        Ok(Unreadable { id: id.clone(), lock })
    }

    /// Removes it, in the namespaces that its files need. Volumes that were made for it stay: only its settings name them.
    ///
    /// # Errors
    /// What the system refuses; then the rest is for [`Containers::sweep`].
    pub fn remove_unreadable(&self, container: Unreadable) -> Result<()> {
        let Unreadable { id, lock } = container;
        let (folder, aside) = (self.layout.container(&id), self.layout.unfinished(&id));
        match fs::rename(folder.path(), aside.path()) {
            // It went by itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(io_at("rename", folder.path()))?,
        }
        self.give_names_up(&id)?;
        self.discard(&id, None)?;
        Journal::new(&self.layout).record(&Event::now("container", "destroy", id.as_str()));
        drop(lock);
        Ok(())
    }

    /// Takes every link away that gives a name to this container.
    fn give_names_up(&self, id: &ContainerId) -> Result<()> {
        let path = self.layout.names();
        let listing = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(io_at("read directory", &path))?,
        };
        for entry in listing {
            let name = entry.map_err(io_at("read directory", &path))?.file_name();
            if let Some(name) = name.to_str() {
                self.give_name_up(name, id)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_cannot_be_read_is_listed_apart_and_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let containers = Containers::new(&store::Layout::new(dir.path().to_path_buf()));
        let id = ContainerId::random().unwrap();
        let folder = containers.layout().container(&id);
        fs::create_dir_all(folder.path()).unwrap();
        fs::create_dir_all(containers.layout().names()).unwrap();
        for (path, text) in [(folder.config(), "{\"version\":1"), (folder.lock(), ""), (folder.state(), "")] {
            fs::write(path, text).unwrap();
        }
        let name = containers.layout().names().join("web");
        std::os::unix::fs::symlink(id.as_str(), &name).unwrap();
        assert!(containers.list().unwrap().is_empty());
        assert_eq!(containers.listing().unwrap().unreadable[0].0, id);
        assert!(containers.list_whole().unwrap_err().is_unreadable());
        assert!(containers.find("web").unwrap_err().is_unreadable());
        let ended = containers.end_unreadable(&containers.find_id("web").unwrap()).unwrap();
        containers.remove_unreadable(ended).unwrap();
        assert!(!folder.path().exists() && fs::symlink_metadata(name).is_err());
        assert!(containers.listing().unwrap().unreadable.is_empty());
    }
}
