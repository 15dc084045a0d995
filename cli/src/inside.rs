//! The file tree of a container, as `cp` and `export` see it: a running one's by its first process, another's mounted for us alone.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use containers::config::MountSource;
use containers::launch::{self, Grounds};
use containers::{Container, Containers, Status};
use runtime::container::{RootFs, Visit};
use runtime::ladder::{Probe, Rung};
use runtime::tree::IdPolicy;
use rustix::io::Errno;
use sys::Root;
use sys::lock::Lock;

use crate::error::{Error, Result, While};
use crate::sandbox;

/// How long somebody who just looks at a container may hold it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The right over everybody's files (linux/capability.h): who has it enters nobody's namespace for that.
const CAP_DAC_OVERRIDE: u32 = 1;

/// A container's tree, and what keeps it as it is.
pub(crate) struct Inside {
    tree: Tree,
    _lock: Option<Lock>,
}

/// As whom the files of a running container are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// As its root: what is written there is that one's.
    Container,
    /// As the user who calls, with all rights over the files of his containers: what is written outside is his.
    Caller,
}

enum Tree {
    Running(Root),
    Stopped(Visit),
}

impl Inside {
    /// Its `/`, with all that it mounts.
    pub(crate) fn root(&self) -> &Root {
        match &self.tree {
            Tree::Running(root) => root,
            Tree::Stopped(visit) => visit.root(),
        }
    }

    /// Opens the tree to be read and written. This process changes its namespaces: what it needs of the host it has opened before.
    pub(crate) fn open(containers: &Containers, container: &Container, whose: Whose) -> Result<Self> {
        match container.state.status {
            Status::Running | Status::Paused => Self::running(container, whose),
            Status::Created | Status::Exited | Status::Restarting => Self::stopped(containers, container),
        }
    }

    /// Paths are resolved below its own root, from here.
    fn running(container: &Container, whose: Whose) -> Result<Self> {
        let name = &container.config.name;
        let gone = || Error::failed(format!("{name} has just ended"));
        let init = container.state.init.ok_or_else(gone)?;
        if !init.lives() {
            return Err(gone());
        }
        enter_users(&format!("/proc/{}/ns/user", init.pid), whose).during(format!("enter {name}"))?;
        let root = Root::open(format!("/proc/{}/root", init.pid)).during(format!("enter {name}"))?;
        // Its number may have become another process's before it was opened, never after.
        if init.lives() { Ok(Self { tree: Tree::Running(root), _lock: None }) } else { Err(gone()) }
    }

    fn stopped(containers: &Containers, container: &Container) -> Result<Self> {
        let name = &container.config.name;
        let Some(lock) = container.folder.take_lock(PATIENCE)? else {
            return Err(Error::failed(format!("{name} is being started or removed")).hint("try once more"));
        };
        let probe = sandbox::enter(containers.store())?;
        let tree = container.tree()?;
        let snapshots = containers.store().snapshots();
        tree.renew(&snapshots)?;
        let rootfs = tree.root_fs(&snapshots);
        let grounds = Grounds {
            rootfs: rootfs.clone(),
            owners: tree.owners(&snapshots),
            layout: containers.layout(),
            probe: &probe,
        };
        let mut config = container.config.clone();
        // What is in memory, or another image's, is not there while it does not run.
        config
            .data
            .mounts
            .retain(|mount| matches!(mount.source, MountSource::Bind { .. } | MountSource::Volume { .. }));
        let spec = launch::spec(&config, &grounds)?;
        let bare = probe.rung == Rung::Chroot;
        let visit = Visit::new(&rootfs, &spec.mounts, container.folder.path(), bare)
            .during(format!("mount the tree of {name}"))?;
        Ok(Self { tree: Tree::Stopped(visit), _lock: Some(lock) })
    }
}

/// Becomes root of the user namespace at `path`, whose ids a container's files have; for the caller's sake, of the outermost one around it
/// that is not ours: there the caller is root, and the container's users are known too.
fn enter_users(path: &str, whose: Whose) -> sys::Result<()> {
    let open = |path: &str| File::open(path).map_err(|error| sys::Error::from_io("open", path, &error));
    let identity = |file: &File| sys::stat::of(file).map(|stat| (stat.dev, stat.ino));
    let mut users = open(path)?;
    let ours = identity(&open("/proc/self/ns/user")?)?;
    if identity(&users)? == ours || (whose == Whose::Caller && sys::ns::has_capability(CAP_DAC_OVERRIDE)) {
        return Ok(());
    }
    while whose == Whose::Caller
        && let Ok(around) = sys::ns::owner(&users).map(File::from)
        && identity(&around)? != ours
    {
        users = around;
    }
    sys::ns::join_users(&users)?;
    match sys::ns::become_ids(0, 0) {
        // Where there is one id only, it is ours by whatever number the container's user has; and all of it may be done already.
        Err(error) if error.errno() == Errno::INVAL => Ok(()),
        other => other,
    }
}

/// A container's layers and its changes, for who reads them: running or not, and without what it mounts.
pub(crate) struct Layers {
    /// What the machine allows; this process is in its namespaces.
    pub(crate) probe: Probe,
    /// The image's trees, base first.
    pub(crate) lowers: Vec<std::path::PathBuf>,
    /// What was changed.
    pub(crate) upper: std::path::PathBuf,
}

impl Layers {
    /// Enters the namespaces in which a container's files can be read.
    pub(crate) fn enter(containers: &Containers, container: &Container) -> Result<Self> {
        let probe = sandbox::enter(containers.store())?;
        match container.tree()?.root_fs(&containers.store().snapshots()) {
            RootFs::Overlay { lowers, upper, .. } => Ok(Self { probe, lowers, upper }),
            RootFs::View { .. } | RootFs::Dir(_) => Err(Error::failed(format!(
                "overlay mounts are refused here: what {} changed is not told from its image",
                container.config.name
            ))
            .hint("`estiba doctor` says what would allow them; `estiba export` writes the whole tree")),
        }
    }

    /// Where the owners of a tree stand.
    pub(crate) fn ids(&self, tree: &Path) -> IdPolicy {
        match self.probe.rung {
            Rung::SingleId => IdPolicy::Recorded(tree.to_path_buf()),
            _ => IdPolicy::Keep,
        }
    }

    /// The image's tree, read without mounting it.
    pub(crate) fn image(&self) -> Result<runtime::tree::view::TreeView> {
        use runtime::tree::view::{LayerSource, TreeView};
        let source = |tree: &std::path::PathBuf| -> Result<LayerSource> {
            Ok(LayerSource::Tree { root: Root::open(tree)?, toc: None, ids: self.ids(tree) })
        };
        let sources = self.lowers.iter().map(source).collect::<Result<Vec<_>>>()?;
        Ok(TreeView::new(sources)?)
    }
}

/// The whole tree of a container, mounted for us alone and read-only; and where owners stand in it.
pub(crate) fn whole(containers: &Containers, container: &Container) -> Result<(Visit, IdPolicy)> {
    let probe = sandbox::enter(containers.store())?;
    let (rootfs, own) = match container.tree()?.root_fs(&containers.store().snapshots()) {
        RootFs::Overlay { mut lowers, upper, .. } => {
            lowers.push(upper.clone());
            (RootFs::View { lowers }, upper)
        }
        RootFs::Dir(dir) => (RootFs::Dir(dir.clone()), dir),
        RootFs::View { .. } => return Err(Error::failed("a container's tree takes changes")),
    };
    let ids = match probe.rung {
        Rung::SingleId => IdPolicy::Recorded(own),
        _ => IdPolicy::Keep,
    };
    let visit = Visit::new(&rootfs, &[], container.folder.path(), probe.rung == Rung::Chroot)?;
    Ok((visit, ids))
}
