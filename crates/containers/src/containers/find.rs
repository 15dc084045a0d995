//! Finding containers: by name, by id, by the beginning of an id, and all.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Container, Containers};
use crate::ContainerId;
use crate::error::{ContainersError, Result, io_at};

/// From so many containers on, a second thread is worth its start.
const WORTH_THREADS: usize = 100;
/// More than this only wait for each other in the kernel.
const MOST_THREADS: usize = 8;
/// So many a thread reads before it takes others: none is left with much when all others are done.
const TURN: usize = 32;

/// All containers.
#[derive(Debug, Default)]
pub struct Listing {
    /// The newest first.
    pub containers: Vec<Container>,
    /// Those whose settings cannot be read, and why.
    pub unreadable: Vec<Unread>,
}

/// A container whose settings cannot be read, and why.
pub type Unread = (ContainerId, ContainersError);

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
        let (mut containers, unreadable) = self.gather(&self.ids()?, Some)?;
        sort(&mut containers);
        Ok(Listing { containers, unreadable })
    }

    /// What `see` makes of each container, the newest first; the containers themselves are forgotten one by one. From many on by several
    /// threads: for a process that enters no namespace afterwards.
    ///
    /// # Errors
    /// As [`Containers::listing`].
    pub fn each<T: Send>(&self, see: impl Fn(&Container) -> Option<T> + Sync) -> Result<(Vec<T>, Vec<Unread>)> {
        let ids = self.ids()?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let see = |container: Container| {
            let seen = see(&container)?;
            Some((std::cmp::Reverse((container.config.created, container.config.id)), seen))
        };
        let parts = if ids.len() < WORTH_THREADS || threads < 2 {
            vec![self.gather(&ids, see)]
        } else {
            let next = AtomicUsize::new(0);
            let turn = || {
                let mut all = (Vec::new(), Vec::new());
                while let Some(ids) = ids.chunks(TURN).nth(next.fetch_add(1, Ordering::Relaxed)) {
                    let (seen, unread) = self.gather(ids, see)?;
                    all.0.extend(seen);
                    all.1.extend(unread);
                }
                Ok(all)
            };
            std::thread::scope(|scope| {
                let others: Vec<_> = (1..threads).map(|_| scope.spawn(turn)).collect();
                let own = std::iter::once(turn());
                let others = others
                    .into_iter()
                    .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                own.chain(others).collect()
            })
        };
        let (mut all, mut unreadable) = (Vec::with_capacity(ids.len()), Vec::new());
        for part in parts {
            let (seen, unread) = part?;
            all.extend(seen);
            unreadable.extend(unread);
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok((all.into_iter().map(|(_, seen)| seen).collect(), unreadable))
    }

    fn gather<T>(&self, ids: &[ContainerId], see: impl Fn(Container) -> Option<T>) -> Result<(Vec<T>, Vec<Unread>)> {
        let (mut seen, mut unread) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            match self.get(id) {
                // One that is removed just now is none.
                Ok(found) => seen.extend(found.and_then(&see)),
                Err(error) if error.is_unreadable() => unread.push((id.clone(), error)),
                Err(error) => return Err(error),
            }
        }
        Ok((seen, unread))
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
