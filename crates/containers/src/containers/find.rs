//! Finding containers: by name, by id, by the beginning of an id, and all.

use std::fs;
use std::io;

use super::{Container, Containers};
use crate::ContainerId;
use crate::error::{ContainersError, Result, io_at};

/// From so many containers on, a second thread is worth its start.
const WORTH_THREADS: usize = 100;
/// More than this only wait for each other in the kernel.
const MOST_THREADS: usize = 8;

/// All containers.
#[derive(Debug, Default)]
pub struct Listing {
    /// The newest first.
    pub containers: Vec<Container>,
    /// Those whose settings cannot be read, and why.
    pub unreadable: Vec<(ContainerId, ContainersError)>,
}

/// The newest first.
fn sort(all: &mut [Container]) {
    all.sort_by(|a, b| (b.config.created, &b.config.id).cmp(&(a.config.created, &a.config.id)));
}

impl Containers {
    /// The one container that is meant: by its id, its name, or the beginning of its id, as docker does.
    ///
    /// # Errors
    /// [`ContainersError::NoSuch`], [`ContainersError::Ambiguous`]; what the system refuses.
    pub fn find(&self, meant: &str) -> Result<Container> {
        let id = self.find_id(meant)?;
        match self.get(&id)? {
            Some(container) => Ok(container),
            None => Err(ContainersError::NoSuch(meant.to_owned())),
        }
    }

    /// A container by its whole id, written as text; `None` where there is none that can be read.
    pub fn known(&self, id: &str) -> Option<Container> {
        self.get(&ContainerId::try_from(id.to_owned()).ok()?).ok().flatten()
    }

    /// The id that is meant.
    ///
    /// # Errors
    /// As [`Containers::find`].
    pub fn find_id(&self, meant: &str) -> Result<ContainerId> {
        let no_such = || ContainersError::NoSuch(meant.to_owned());
        if let Ok(id) = ContainerId::try_from(meant.to_owned())
            && self.layout.container(&id).path().is_dir()
        {
            return Ok(id);
        }
        // docker writes names with a slash before them.
        let name = meant.strip_prefix('/').unwrap_or(meant);
        if crate::id::check_name(name).is_ok()
            && let Some(id) = self.holder(name)?
            && self.layout.container(&id).path().is_dir()
        {
            return Ok(id);
        }
        if meant.is_empty() || !meant.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(no_such());
        }
        let mut found = self.ids()?.into_iter().filter(|id| id.as_str().starts_with(meant));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            (Some(_), Some(_)) => Err(ContainersError::Ambiguous(meant.to_owned())),
            (None, _) => Err(no_such()),
        }
    }

    /// All containers as they are, the newest first; without those that cannot be read.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn list(&self) -> Result<Vec<Container>> {
        Ok(self.listing()?.containers)
    }

    /// The same, for who must not miss one.
    ///
    /// # Errors
    /// What the system refuses; a container whose files cannot be read.
    pub fn list_whole(&self) -> Result<Vec<Container>> {
        let Listing { containers, unreadable } = self.listing()?;
        unreadable.into_iter().next().map_or(Ok(containers), |(_, error)| Err(error))
    }

    /// All containers as they are, the newest first, and those that cannot be read.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn listing(&self) -> Result<Listing> {
        let mut listing = self.gather(&self.ids()?)?;
        sort(&mut listing.containers);
        Ok(listing)
    }

    /// The same, read by several threads: for a process that enters no namespace afterwards.
    ///
    /// # Errors
    /// As [`Containers::listing`].
    pub fn list_side_by_side(&self) -> Result<Listing> {
        let ids = self.ids()?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        if ids.len() < WORTH_THREADS || threads < 2 {
            return self.listing();
        }
        let parts: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> =
                ids.chunks(ids.len().div_ceil(threads)).map(|ids| scope.spawn(|| self.gather(ids))).collect();
            running.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        let mut all = Listing::default();
        for part in parts {
            match part {
                Ok(part) => {
                    let Listing { containers, unreadable } = part?;
                    all.containers.extend(containers);
                    all.unreadable.extend(unreadable);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        sort(&mut all.containers);
        Ok(all)
    }

    fn gather(&self, ids: &[ContainerId]) -> Result<Listing> {
        let mut listing = Listing { containers: Vec::with_capacity(ids.len()), unreadable: Vec::new() };
        for id in ids {
            match self.get(id) {
                // One that is removed just now is none.
                Ok(found) => listing.containers.extend(found),
                Err(error) if error.is_unreadable() => listing.unreadable.push((id.clone(), error)),
                Err(error) => return Err(error),
            }
        }
        Ok(listing)
    }

    /// A container as it is; `None` when there is none.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn get(&self, id: &ContainerId) -> Result<Option<Container>> {
        let folder = self.layout.container(id);
        let read = || {
            let (config, state) = (folder.read_config()?, folder.read_state()?);
            Ok(Container { folder: folder.clone(), config, state })
        };
        match read().and_then(|container| self.reconciled(container)) {
            Ok(container) => Ok(container),
            // Or it was removed meanwhile.
            Err(ContainersError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The ids of all containers.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn ids(&self) -> Result<Vec<ContainerId>> {
        let path = self.layout.containers();
        let listing = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_at("read directory", &path))?,
        };
        let mut ids = Vec::new();
        for entry in listing {
            let name = entry.map_err(io_at("read directory", &path))?.file_name();
            ids.extend(name.into_string().ok().and_then(|name| ContainerId::try_from(name).ok()));
        }
        Ok(ids)
    }

    /// Whose name it is.
    pub(super) fn holder(&self, name: &str) -> Result<Option<ContainerId>> {
        let path = self.layout.names().join(name);
        match fs::read_link(&path) {
            Ok(target) => Ok(target.to_str().and_then(|id| ContainerId::try_from(id.to_owned()).ok())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_at("readlink", &path)(error)),
        }
    }

    /// Whether a name can be had. Only who takes it knows for sure.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn is_free(&self, name: &str) -> Result<bool> {
        Ok(self.holder(name)?.is_none())
    }
}
