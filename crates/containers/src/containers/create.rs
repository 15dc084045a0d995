//! Making a container: a folder beside, which gets its name when it is whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use runtime::snapshot::KeptTree;
use sys::lock::Lock;

use super::{Container, Containers};
use crate::config::MountSource;
use crate::error::{ContainersError, Result, io_at};
use crate::event::{Event, Journal};
use crate::layout::Folder;
use crate::record::{Durability, sync_folder};
use crate::{Config, ContainerId, State};

/// A container in the making. Dropped, all of it goes again.
#[derive(Debug)]
pub struct Made<'c> {
    containers: &'c Containers,
    folder: Folder,
    config: Config,
    /// Given to who finishes.
    lock: Option<Lock>,
}

impl Containers {
    /// Begins a container: its folder and its name are taken, its file tree is to come.
    ///
    /// # Errors
    /// [`ContainersError::Taken`]; what the system refuses.
    pub fn begin(&self, config: Config) -> Result<Made<'_>> {
        let folder = self.layout.unfinished(&config.id);
        make_folders(&self.layout.names())?;
        let gate = Lock::shared(self.gate()?)?;
        make_folder(&folder)?;
        let lock = make_lock(&folder.lock())?;
        drop(gate);
        let made = Made { containers: self, folder, config, lock: Some(lock) };
        // On disk with all the others, before the folder gets its name.
        made.folder.write_config(&made.config, Durability::Fleeting)?;
        self.take_name(&made.config.name, &made.config.id)?;
        Ok(made)
    }

    /// What keeps a folder that has no lock yet from those who look for litter: held shared until it has one.
    pub(super) fn gate(&self) -> Result<File> {
        let path = self.layout.gate();
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        opened.map_err(io_at("open", &path))
    }

    /// Makes the link that gives a name to an id.
    pub(super) fn take_name(&self, name: &str, id: &ContainerId) -> Result<()> {
        let path = self.layout.names().join(name);
        // Twice: a name without a container is taken away once.
        for _ in 0..2 {
            match symlink(id.as_str(), &path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_at("symlink", &path)(error)),
            }
            let Some(holder) = self.holder(name)? else { continue };
            if self.is_of_someone(&holder)? {
                return Err(ContainersError::Taken { name: name.to_owned(), id: holder.short().to_owned() });
            }
            drop(fs::remove_file(&path));
        }
        Err(ContainersError::Taken { name: name.to_owned(), id: "?".to_owned() })
    }

    /// Takes a name's link away, if it is this container's.
    pub(super) fn give_name_up(&self, name: &str, id: &ContainerId) -> Result<()> {
        if self.holder(name)?.as_ref() != Some(id) {
            return Ok(());
        }
        let path = self.layout.names().join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at("unlink", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Whether there is such a container, or one is being made.
    fn is_of_someone(&self, id: &ContainerId) -> Result<bool> {
        let folder = self.layout.container(id);
        if folder.path().try_exists().map_err(io_at("stat", folder.path()))? {
            return Ok(true);
        }
        // Who makes it holds the lock; without one it was killed.
        match self.layout.unfinished(id).is_held() {
            Err(ContainersError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other,
        }
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// [`ContainersError::Taken`]; what the system refuses.
    pub fn rename(&self, container: &Container, name: &str) -> Result<()> {
        crate::id::check_name(name)?;
        let lock = container.folder.lock_config()?;
        self.take_name(name, &container.config.id)?;
        let mut config = container.folder.read_config()?;
        let before = std::mem::replace(&mut config.name, name.to_owned());
        let written = container.folder.write_config(&config, container.durability());
        drop(lock);
        let (goes, id) = if written.is_ok() { (before.as_str(), &config.id) } else { (name, &config.id) };
        self.give_name_up(goes, id)?;
        if written.is_ok() {
            let event = Event::of(&config, "rename").with("oldName", format!("/{before}"));
            Journal::new(&self.layout).record(&event);
        }
        written
    }
}

impl Made<'_> {
    /// What was asked.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where it is until it is whole.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Says of which trees the images are made that it mounts.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn mount_images(&mut self, trees: &[(oci::Digest, Vec<String>)]) -> Result<()> {
        for mount in &mut self.config.data.mounts {
            if let MountSource::Image { manifest: Some(manifest), layers, .. } = &mut mount.source
                && let Some((_, found)) = trees.iter().find(|(of, _)| of == manifest)
            {
                layers.clone_from(found);
            }
        }
        self.folder.write_config(&self.config, Durability::Fleeting)
    }

    /// Pins what its tree stands on, and makes it a container. Its lock is held: who starts it gives it to its supervisor.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn finish(mut self, tree: &KeptTree) -> Result<(Container, Lock)> {
        let durability = self.config.durability();
        self.folder.write_tree(tree, Durability::Fleeting)?;
        let id = &self.config.id;
        let mut pinned: Vec<&str> = vec![id.as_str()];
        pinned.extend(tree.layers.iter().map(String::as_str));
        pinned.extend(self.config.data.layers());
        let manifests: Vec<String> = std::iter::once(self.config.image.manifest.to_string())
            .chain(self.config.data.images().map(ToString::to_string))
            .collect();
        pinned.extend(manifests.iter().map(String::as_str));
        store::pin_lasting(&self.containers.store, id.as_str(), &pinned)?;
        if durability == Durability::Synced {
            self.folder.sync(&[self.folder.config(), self.folder.tree()])?;
        }
        let home = self.containers.layout.container(id);
        fs::rename(self.folder.path(), home.path()).map_err(io_at("rename", home.path()))?;
        if durability == Durability::Synced {
            sync_folder(&self.containers.layout.containers())?;
        }
        let container = Container { folder: home, config: self.config.clone(), state: State::default() };
        self.containers.tell(&container.config, "create");
        match self.lock.take() {
            Some(lock) => Ok((container, lock)),
            None => Err(ContainersError::Busy(self.config.name.clone())),
        }
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // What cannot be removed now is litter that a prune finds.
            drop(self.containers.discard(&self.config.id, Some(&self.config.name)));
        }
    }
}

/// How long a folder's maker waits for who looks at its lock.
const MOMENT: Duration = Duration::from_secs(1);

fn make_folders(names: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(names).map_err(io_at("mkdir", names))
}

fn make_folder(folder: &Folder) -> Result<()> {
    DirBuilder::new().mode(0o700).create(folder.path()).map_err(io_at("mkdir", folder.path()))
}

fn make_lock(path: &Path) -> Result<Lock> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = made.map_err(io_at("create", path))?;
    let until = std::time::Instant::now() + MOMENT;
    loop {
        match Lock::try_exclusive(file)? {
            Ok(lock) => return Ok(lock),
            Err(_) if std::time::Instant::now() >= until => {
                return Err(ContainersError::Busy(path.display().to_string()));
            }
            Err(back) => file = back,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
