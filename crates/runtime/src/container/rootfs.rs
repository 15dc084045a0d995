//! Making a tree of layers, or a directory, into a mount.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::MountFlags;
use sys::mount::{Attributes, Setting};

use super::error::StartError;
use crate::snapshot::RootFs;

/// Mounts `rootfs` at `at`, an existing directory of ours; `durable`: what is synced in it is on disk. Gives a descriptor of the
/// mount's root.
pub(crate) fn mount(rootfs: &RootFs, at: &Path, durable: bool) -> Result<OwnedFd, StartError> {
    let mount = match rootfs {
        RootFs::Overlay { lowers, upper, work } => overlay(lowers, Some((upper, work)), at, durable)?,
        RootFs::View { lowers } => match lowers.as_slice() {
            // Overlay wants two layers where nothing is writable.
            [one] => {
                let mount = directory(one, false)?;
                sys::mount::restrict(&mount, Attributes::MOUNT_ATTR_RDONLY, false)?;
                Some(mount)
            }
            _ => overlay(lowers, None, at, durable)?,
        },
        RootFs::Dir(dir) => Some(directory(dir, true)?),
    };
    match mount {
        Some(mount) => {
            sys::mount::attach_path(&mount, at)?;
            Ok(mount)
        }
        None => open(at),
    }
}

fn open(path: &Path) -> Result<OwnedFd, StartError> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        .map_err(|errno| StartError::setup(format!("open {}", path.display()), errno))
}

/// A copy of the mount at a path. In a user namespace what is mounted below may be locked to it: then it comes along.
pub(super) fn directory(path: &Path, recursive: bool) -> Result<OwnedFd, StartError> {
    let copied = match sys::mount::copy_path(path, recursive) {
        Err(error) if error.errno() == Errno::INVAL && !recursive => sys::mount::copy_path(path, true),
        other => other,
    };
    Ok(copied?)
}

type Writable<'a> = Option<(&'a PathBuf, &'a PathBuf)>;

/// A detached overlay; or `None`, where the kernel only knows how to mount it in place, and has.
fn overlay(
    lowers: &[PathBuf],
    writable: Writable<'_>,
    at: &Path,
    durable: bool,
) -> Result<Option<OwnedFd>, StartError> {
    if lowers.is_empty() {
        return Err(StartError::Invalid("a root file system of no layers".to_owned()));
    }
    match by_descriptor(lowers, writable, durable) {
        Ok(mount) => return Ok(Some(mount)),
        // The words of an older kernel for settings that it doesn't know yet; 6.12 takes no descriptor that is but a path.
        Err(error) if matches!(error.errno(), Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::BADF) => {}
        Err(error) => return Err(error.into()),
    }
    by_path(lowers, writable, at, durable).map(|()| None)
}

/// Overlay's settings besides its layers: without `userxattr`, re-creating a directory of a lower layer fails in a user
/// namespace; with `volatile`, unmounting syncs nothing, and snapshots of builds are
/// cache.
const OPTIONS: [&str; 1] = ["userxattr"];

fn by_descriptor(lowers: &[PathBuf], writable: Writable<'_>, durable: bool) -> sys::Result<OwnedFd> {
    let dirs = lowers.iter().rev().map(|lower| open_layer(lower)).collect::<sys::Result<Vec<_>>>()?;
    let mut settings: Vec<Setting<'_>> = OPTIONS.iter().map(|option| Setting::Flag(option)).collect();
    settings.extend(dirs.iter().map(|dir| Setting::Dir("lowerdir+", dir.as_fd())));
    let top = match writable {
        Some((upper, work)) => Some((open_layer(upper)?, open_layer(work)?)),
        None => None,
    };
    if let Some((upper, work)) = &top {
        settings.extend((!durable).then_some(Setting::Flag("volatile")));
        settings.push(Setting::Dir("upperdir", upper.as_fd()));
        settings.push(Setting::Dir("workdir", work.as_fd()));
    }
    sys::mount::new("overlay", &settings, Attributes::empty())
}

fn open_layer(path: &Path) -> sys::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(|errno| sys::Error::new("open", path, errno))
}

/// By mount data, which is one page: so paths are relative to the folder that all layers share.
fn by_path(lowers: &[PathBuf], writable: Writable<'_>, at: &Path, durable: bool) -> Result<(), StartError> {
    let paths = lowers.iter().chain(writable.iter().flat_map(|(upper, work)| [*upper, *work]));
    let base = common_folder(paths);
    rustix::process::chdir(&base).map_err(|errno| StartError::setup(format!("chdir {}", base.display()), errno))?;
    let relative = |path: &Path| sys::mount::escape_overlay(path.strip_prefix(&base).unwrap_or(path));
    let mut data = b"userxattr,lowerdir=".to_vec();
    for (place, lower) in lowers.iter().rev().enumerate() {
        if place > 0 {
            data.push(b':');
        }
        data.extend(relative(lower));
    }
    if let Some((upper, work)) = writable {
        data.extend_from_slice(if durable { b",upperdir=" } else { b",volatile,upperdir=" });
        data.extend(relative(upper));
        data.extend_from_slice(b",workdir=");
        data.extend(relative(work));
    }
    if data.len() > sys::mount::LEGACY_DATA_LIMIT {
        return Err(StartError::Invalid(format!(
            "{} layers are more than this kernel can mount at once",
            lowers.len()
        )));
    }
    let named = writable.map_or(&lowers[lowers.len() - 1], |(upper, _)| upper);
    sys::mount::legacy("overlay", at, MountFlags::empty(), &data)
        .map_err(|error| StartError::setup(format!("mount overlay {}", named.display()), error.errno()))
}

fn common_folder<'a>(mut paths: impl Iterator<Item = &'a PathBuf>) -> PathBuf {
    let mut base = paths.next().and_then(|path| path.parent()).unwrap_or(Path::new("/")).to_owned();
    for path in paths {
        while !path.starts_with(&base) || path == &base {
            if !base.pop() {
                break;
            }
        }
    }
    if base.as_os_str().is_empty() { PathBuf::from("/") } else { base }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_that_all_share() {
        let of = |paths: &[&str]| common_folder(paths.iter().map(PathBuf::from).collect::<Vec<_>>().iter());
        assert_eq!(of(&["/s/snapshots/a/fs", "/s/snapshots/b/fs"]), Path::new("/s/snapshots"));
        assert_eq!(of(&["/s/a", "/s/a/b"]), Path::new("/s"));
        assert_eq!(of(&["/x/a", "/y/a"]), Path::new("/"));
    }
}
