//! The tree of a container that does not run, for who looks into it or writes to it.

use std::path::Path;

use sys::mount::Attributes;
use sys::{OpenFlags, Root};

use super::error::StartError;
use super::rootfs;
use super::spec::{Mount, Source};
use crate::snapshot::RootFs;

/// Mounts a tree at `at`, an existing directory, in the mount namespace of this process, which must be its own; and what of `mounts`
/// is the host's where the tree has a place for it. Programs and device nodes in it do nothing. Where mounts are refused, the tree
/// must be a [`RootFs::Dir`], and is opened as it is.
///
/// # Errors
/// What the kernel refuses.
pub fn visit(rootfs: &RootFs, mounts: &[Mount], at: &Path, bare: bool) -> Result<Root, StartError> {
    if let (RootFs::Dir(dir), true) = (rootfs, bare) {
        return Ok(Root::open(dir)?);
    }
    let mount = rootfs::mount(rootfs, at, true)?;
    let inert = Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOEXEC | Attributes::MOUNT_ATTR_NOSUID;
    sys::mount::restrict(&mount, inert, true)?;
    let root = Root::open(at)?;
    for mount in mounts {
        let Source::Bind(bind) = &mount.source else { continue };
        let Ok(over) = root.open_file(&mount.target, OpenFlags::PATH | OpenFlags::CLOEXEC) else { continue };
        let copy = bind.copy()?;
        if sys::stat::of(&copy)?.is_dir() != sys::stat::of(&over)?.is_dir() {
            continue;
        }
        let readonly = if mount.readonly { Attributes::MOUNT_ATTR_RDONLY } else { Attributes::empty() };
        sys::mount::restrict(&copy, inert | readonly, true)?;
        sys::mount::attach(&copy, over, &mount.target)?;
    }
    Ok(root)
}
