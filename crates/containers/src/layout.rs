//! Every path of containers, volumes and networks on disk.

use std::path::{Path, PathBuf};

use crate::ContainerId;

/// The folders:
///
/// ```text
/// <store>/containers/<id>/         a container; made as .<id>, renamed when it is whole, renamed back before it goes
///             config.json          what was asked (synced, replaced by rename: rename, update)
///             config.lock          held by who changes config.json
///             tree.json            what its file tree is made of: written once
///             state.json           what happens (replaced by rename by the supervisor, by others only under its lock)
///             lock                 held by the supervisor
///             control.sock         where the supervisor listens
///             log, log.1 …         what it said
///             hosts resolv.conf hostname   files of ours that are mounted inside
/// <store>/containers/names/<name>  a symbolic link to the id: whoever makes it has the name
/// <store>/containers/gate          held by who makes a folder until that has its lock, and by who looks for folders without one
/// <store>/containers/events.jsonl  what happened, a line each
/// <store>/pins/<id>                what a container needs of the store, so that a collector leaves it alone
/// <store>/snapshots/<id>/          its file tree's changes
/// <store>/volumes/<name>/          volume.json, lock, _data
/// <store>/networks/<name>.json     networks of users
/// ```
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

/// One container's paths.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Layout {
    /// The layout of a store. Touches nothing.
    pub fn new(store: &store::Layout) -> Self {
        Self { root: store.root().to_path_buf() }
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of all containers.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// One container's folder.
    pub fn container(&self, id: &ContainerId) -> Folder {
        Folder { path: self.containers().join(id.as_str()) }
    }

    /// Where a container's folder is while it is made or removed.
    pub fn unfinished(&self, id: &ContainerId) -> Folder {
        Folder { path: self.containers().join(format!(".{id}")) }
    }

    /// The folder of names.
    pub fn names(&self) -> PathBuf {
        self.containers().join("names")
    }

    /// What is held while a folder has no lock yet.
    pub fn gate(&self) -> PathBuf {
        self.containers().join("gate")
    }

    /// The journal of what happened.
    pub fn events(&self) -> PathBuf {
        self.containers().join("events.jsonl")
    }

    /// The folder of volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// The folder of a container's own changes: its tree's, and those of mounts that are written over.
    pub fn snapshot(&self, id: &ContainerId) -> PathBuf {
        self.root.join("snapshots").join(id.as_str())
    }

    /// The tree of a layer, by its id.
    pub fn tree(&self, layer: &str) -> PathBuf {
        self.root.join("snapshots").join(layer).join("fs")
    }

    /// The folder of networks.
    pub fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }
}

impl Folder {
    /// A container's folder that is known by its path.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was asked.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// Held by who changes what was asked.
    pub fn config_lock(&self) -> PathBuf {
        self.path.join("config.lock")
    }

    /// What happens.
    pub fn state(&self) -> PathBuf {
        self.path.join("state.json")
    }

    /// What its file tree is made of.
    pub fn tree(&self) -> PathBuf {
        self.path.join("tree.json")
    }

    /// The supervisor's lock.
    pub fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// The supervisor's socket. Longer than an address may be: bound and reached by `/proc/self/fd/<folder>/control.sock`.
    pub fn control(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// What it said; older parts have a number behind it.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }
}
