//! Volumes: folders of the store that containers share and outlive none of them.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sys::Root;
use sys::lock::Lock;

use crate::config::Config;
use crate::error::ContainersError;
use crate::event::{Event, Journal};
use crate::id::{ContainerId, NameError, check_name};
use crate::layout::{Folder, Layout};
use crate::time::Moment;

/// What a volume's folder holds.
const RECORD: &str = "volume.json";
const DATA: &str = "_data";
/// There until a container used the volume first, and filled it.
const FRESH: &str = "fresh";
/// The one driver there is, as docker calls it.
pub const DRIVER: &str = "local";
/// The label of volumes that were made for one container.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Moment,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The driver's options: `type`, `device`, `o`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Whether it was made for one container.
    #[serde(default)]
    pub anonymous: bool,
}

/// What can go wrong with a volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// There is none of that name.
    #[error("no such volume: {0}")]
    Absent(String),
    /// It is there, with other options or labels.
    #[error("volume {0} exists already, with other options; remove it, or choose another name")]
    Differs(String),
    /// Containers name it.
    #[error("volume {name} is in use by {}", short(.by))]
    Used {
        /// Which.
        name: String,
        /// The containers.
        by: Vec<ContainerId>,
    },
    /// A container that cannot be read may name any of them.
    #[error("which volumes container {} uses cannot be read: {why}; `estiba rm -f {}` removes it", id.short(), id.short())]
    Unsure {
        /// The container.
        id: ContainerId,
        /// Why not.
        why: String,
    },
    /// It cannot be called so.
    #[error("volume {0:?}: a name is letters, digits and `_.-`, at least two, the first a letter or digit")]
    Name(String),
    /// A driver or an option that is not to be had.
    #[error("volume {name}: {why}")]
    Option {
        /// Which.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] NameError),
    /// A file or folder.
    #[error("{call} {}: {source}", path.display())]
    Io {
        /// The call.
        call: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A tree that does not go away.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

fn short(ids: &[ContainerId]) -> String {
    ids.iter().map(ContainerId::short).collect::<Vec<_>>().join(", ")
}

type Result<T, E = VolumeError> = std::result::Result<T, E>;

fn at(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VolumeError + use<> {
    let path = path.to_path_buf();
    move |source| VolumeError::Io { call, path, source }
}

/// The volumes of a store.
#[derive(Debug, Clone)]
pub struct Volumes {
    layout: Layout,
}

impl Volumes {
    /// Those of this store. Touches nothing.
    pub fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone() }
    }

    /// The folder whose content is the volume's.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder(name).join(DATA)
    }

    /// The file that is there until the volume was filled.
    pub fn fresh(&self, name: &str) -> PathBuf {
        self.folder(name).join(FRESH)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.layout.volumes().join(name)
    }

    /// Makes a volume; one that is there with the same options, or with any where none are asked, is it.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn create(
        &self,
        name: &str,
        labels: BTreeMap<String, String>,
        options: BTreeMap<String, String>,
    ) -> Result<Volume> {
        check_name(name).map_err(|_| VolumeError::Name(name.to_owned()))?;
        self.make(Volume { name: name.to_owned(), created: Moment::now(), labels, options, anonymous: false })
    }

    /// Makes a volume for one container, under a name that nobody has. Labels as docker's.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn create_anonymous(&self, name: &str) -> Result<Volume> {
        let labels = BTreeMap::from([(ANONYMOUS.to_owned(), String::new())]);
        let options = BTreeMap::new();
        self.make(Volume { name: name.to_owned(), created: Moment::now(), labels, options, anonymous: true })
    }

    fn make(&self, volume: Volume) -> Result<Volume> {
        let known = crate::volume::options::Known::parse(&volume.options);
        known.map_err(|why| VolumeError::Option { name: volume.name.clone(), why })?;
        if let Some(there) = self.find(&volume.name)? {
            return same(there, &volume);
        }
        let all = self.layout.volumes();
        folder(&all)?;
        let partial = all.join(format!(".{}", ContainerId::random()?));
        folder(&partial)?;
        let made = self.furnish(&partial, &volume);
        let place = self.folder(&volume.name);
        match made.and_then(|()| fs::rename(&partial, &place).map_err(at("rename", &place))) {
            Ok(()) => {
                self.tell(&volume, "create");
                Ok(volume)
            }
            // Either it cannot be made, or somebody made it at the same time.
            Err(error) => {
                drop(Root::open(&all).and_then(|all| all.remove_all(partial.file_name().unwrap_or_default())));
                match self.find(&volume.name)? {
                    Some(there) => same(there, &volume),
                    None => Err(error),
                }
            }
        }
    }

    fn tell(&self, volume: &Volume, action: &str) {
        let event = Event::now("volume", action, &volume.name).with("driver", DRIVER);
        Journal::new(&self.layout).record(&event);
    }

    fn furnish(&self, folder: &Path, volume: &Volume) -> Result<()> {
        let data = folder.join(DATA);
        fs::create_dir(&data).map_err(at("mkdir", &data))?;
        // Whatever the umask is, programs of other users inside may look.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&data, open).map_err(at("chmod", &data))?;
        let fresh = folder.join(FRESH);
        File::create(&fresh).map_err(at("create", &fresh))?;
        let record = folder.join(RECORD);
        let mut file = File::create(&record).map_err(at("create", &record))?;
        let text = serde_json::to_vec(volume).unwrap_or_default();
        file.write_all(&text).map_err(at("write", &record))?;
        // What is in it is a user's: one made for a container that goes with it need not last.
        if volume.anonymous { Ok(()) } else { file.sync_all().map_err(at("fsync", &record)) }
    }

    /// The volume of a name, if there is one.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<Volume>> {
        if check_name(name).is_err() {
            return Ok(None);
        }
        let record = self.folder(name).join(RECORD);
        match fs::read(&record) {
            Ok(bytes) => {
                let read = serde_json::from_slice(&bytes).map_err(io::Error::other);
                Ok(Some(read.map_err(at("read", &record))?))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at("read", &record)(error)),
        }
    }

    /// The volume of a name.
    ///
    /// # Errors
    /// [`VolumeError::Absent`].
    pub fn get(&self, name: &str) -> Result<Volume> {
        self.find(name)?.ok_or_else(|| VolumeError::Absent(name.to_owned()))
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Volume>> {
        let folder = self.layout.volumes();
        let mut found = Vec::new();
        for entry in entries(&folder)? {
            // One that is removed meanwhile is none.
            found.extend(entry.to_str().map(|name| self.find(name)).transpose()?.flatten());
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Which containers name which volumes.
    ///
    /// # Errors
    /// When the folder of containers cannot be read; [`VolumeError::Unsure`].
    pub fn users(&self) -> Result<BTreeMap<String, Vec<ContainerId>>> {
        let mut users: BTreeMap<String, Vec<ContainerId>> = BTreeMap::new();
        for entry in entries(&self.layout.containers())? {
            // One that is being made, or removed, has a dot before its name.
            let name = entry.to_str().unwrap_or_default();
            let unfinished = name.strip_prefix('.');
            let Ok(id) = ContainerId::try_from(unfinished.unwrap_or(name).to_owned()) else { continue };
            let folder = Folder::at(self.layout.containers().join(&entry));
            let config = match folder.read_config() {
                Ok(config) => config,
                // It goes, or does not name any yet: who names one has the lock.
                Err(ContainersError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                // Left by who was cut off: there will be no container.
                Err(_) if unfinished.is_some() && !folder.is_held().unwrap_or_default() => continue,
                Err(error) => return Err(VolumeError::Unsure { id, why: error.to_string() }),
            };
            for name in config.data.mounts.iter().filter_map(|mount| mount.volume()) {
                users.entry(name.to_owned()).or_default().push(id.clone());
            }
        }
        Ok(users)
    }

    /// Removes a volume and all in it. What a container wrote belongs to its ids: the caller is in the namespaces in which they are
    /// its own.
    ///
    /// # Errors
    /// [`VolumeError::Used`], unless `whoever` uses it does not matter.
    pub fn remove(&self, name: &str, whoever: bool) -> Result<()> {
        let volume = self.get(name)?;
        if !whoever && let Some(by) = self.users()?.remove(name) {
            return Err(VolumeError::Used { name: name.to_owned(), by });
        }
        let all = self.layout.volumes();
        let gone = all.join(format!(".{}", ContainerId::random()?));
        let place = self.folder(name);
        match fs::rename(&place, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(VolumeError::Absent(name.to_owned())),
            other => other.map_err(at("rename", &place))?,
        }
        self.tell(&volume, "destroy");
        Ok(Root::open(&all)?.remove_all(gone.file_name().unwrap_or_default())?)
    }

    /// Removes what was made for one container alone.
    ///
    /// # Errors
    /// As [`Volumes::remove`]; what another container took over by `--volumes-from` stays.
    pub fn remove_anonymous(&self, config: &Config) -> Result<()> {
        let mut names = config.data.anonymous().peekable();
        if names.peek().is_none() {
            return Ok(());
        }
        let users = self.users()?;
        for name in names {
            let others = users.get(name).is_some_and(|by| by.iter().any(|id| *id != config.id));
            match if others { Ok(()) } else { self.remove(name, true) } {
                Err(VolumeError::Absent(_)) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Removes what creations and removals left that were cut off. Called while holding [`Volumes::lock`].
    ///
    /// # Errors
    /// When something does not go away.
    pub fn sweep(&self) -> Result<()> {
        const OLD: u64 = 60 * 60 * 1_000_000_000;
        let folder = self.layout.volumes();
        for name in entries(&folder)? {
            let path = folder.join(&name);
            let modified = fs::symlink_metadata(&path).and_then(|meta| meta.modified());
            let age = modified.ok().and_then(|time| time.elapsed().ok()).unwrap_or_default();
            // A younger one may still be at work.
            if name.as_encoded_bytes().starts_with(b".") && age.as_nanos() > u128::from(OLD) {
                Root::open(&folder)?.remove_all(&name)?;
            }
        }
        Ok(())
    }

    /// Keeps others from removing volumes while a container is made that names some.
    ///
    /// # Errors
    /// When the lock cannot be had.
    pub fn lock(&self) -> Result<Lock> {
        let all = self.layout.volumes();
        folder(&all)?;
        let path = all.join(".lock");
        let file = File::options().create(true).append(true).open(&path).map_err(at("open", &path))?;
        Ok(Lock::exclusive(file)?)
    }
}

fn same(there: Volume, wanted: &Volume) -> Result<Volume> {
    let differs = !wanted.options.is_empty() && wanted.options != there.options;
    if differs { Err(VolumeError::Differs(there.name)) } else { Ok(there) }
}

fn folder(path: &Path) -> Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at("mkdir", path)(error)),
        _ => Ok(()),
    }
}

fn entries(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at("readdir", folder)(error)),
    };
    listed.map(|entry| entry.map(|entry| entry.file_name()).map_err(at("readdir", folder))).collect()
}

pub mod options;

#[cfg(test)]
mod tests;
