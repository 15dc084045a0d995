//! The tree of a container that does not run, for who looks into it or writes to it.

use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;
use sys::Root;
use sys::mount::Attributes;

use super::error::StartError;
use super::rootfs;
use super::spec::{Mount, Source};
use super::stub::MountPoints;
use crate::snapshot::RootFs;

/// A tree that is mounted for who visits it, and no longer.
#[derive(Debug)]
pub struct Visit {
    root: Root,
    rootfs: RootFs,
    stubs: super::stub::Stubs,
    at: Option<PathBuf>,
}

impl Visit {
    /// Mounts a tree at `at`, an existing directory, in the mount namespace of this process, which must be its own; and over it what of
    /// `mounts` is the host's. Programs and device nodes in it do nothing. Where mounts are refused (`bare`), the tree must be a
    /// [`RootFs::Dir`], and is opened as it is.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn new(rootfs: &RootFs, mounts: &[Mount], at: &Path, bare: bool) -> Result<Self, StartError> {
        let stubs = super::stub::Stubs::default();
        if let (RootFs::Dir(dir), true) = (rootfs, bare) {
            return Ok(Self { root: Root::open(dir)?, rootfs: rootfs.clone(), stubs, at: None });
        }
        let mount = rootfs::mount(rootfs, at, true)?;
        let inert = Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOEXEC | Attributes::MOUNT_ATTR_NOSUID;
        sys::mount::restrict(&mount, inert, true)?;
        let mut visit = Self { root: Root::open(at)?, rootfs: rootfs.clone(), stubs, at: Some(at.to_owned()) };
        visit.attach(mounts, inert)?;
        Ok(visit)
    }

    /// Its `/`.
    pub fn root(&self) -> &Root {
        &self.root
    }

    fn attach(&mut self, mounts: &[Mount], inert: Attributes) -> Result<(), StartError> {
        let upper = match &self.rootfs {
            RootFs::Overlay { upper, .. } => Some(Root::open(upper)?),
            RootFs::View { .. } | RootFs::Dir(_) => None,
        };
        let mut points = MountPoints::new(self.root.try_clone()?, upper);
        let attached = mounts.iter().try_for_each(|mount| attach(&mut points, mount, inert));
        self.stubs = points.stubs;
        attached
    }
}

fn attach(points: &mut MountPoints, mount: &Mount, inert: Attributes) -> Result<(), StartError> {
    let Source::Bind(bind) = &mount.source else { return Ok(()) };
    let copy = bind.copy()?;
    let over = points.open(&mount.target, sys::stat::of(&copy)?.is_dir())?;
    let readonly = if mount.readonly { Attributes::MOUNT_ATTR_RDONLY } else { Attributes::empty() };
    sys::mount::restrict(&copy, inert | readonly, true)?;
    Ok(sys::mount::attach(&copy, over, &mount.target)?)
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(at) = &self.at {
            // The namespace goes with its process anyhow; places that were made for mounts are told by the layer alone.
            let gone = rustix::mount::unmount(at, UnmountFlags::DETACH);
            if gone.is_ok() {
                drop(self.stubs.remove(&self.rootfs));
            }
        }
    }
}
