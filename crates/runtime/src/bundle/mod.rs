//! A container in the words of the OCI runtime specification: its `config.json`, and the folder (bundle) by which another runtime
//! runs it.
//!
//! Control groups and networks are ours all the same: the runtime gets the namespace of the one, and its processes are put into the
//! other.

mod config;
mod console;
mod foreign;
mod seccomp;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use sys::Root;

use crate::container::{RootFs, Source, Spec, StartError, User};

pub use foreign::{Foreign, Foreigner, run};

/// The name of the configuration, by the specification.
const CONFIG: &str = "config.json";
/// Where the file tree is mounted.
const ROOTFS: &str = "rootfs";
/// Where files of ours are, and trees of layers.
const FILES: &str = "files";

/// `config.json`, for a bundle at `dir`: an empty folder, on which the container's tree is mounted to look its user up.
///
/// # Errors
/// No such user; what the tree cannot be mounted for.
pub fn describe(
    spec: &Spec,
    annotations: &BTreeMap<String, String>,
    dir: &Path,
) -> Result<serde_json::Value, StartError> {
    let user = mount_root(spec, dir);
    let _ = rustix::mount::unmount(dir.join(ROOTFS), rustix::mount::UnmountFlags::DETACH);
    config::config(spec, &user?, annotations, "", &[])
}

/// Mounts the tree and finds who the program runs as.
fn mount_root(spec: &Spec, dir: &Path) -> Result<User, StartError> {
    let at = make_dir(dir.join(ROOTFS))?;
    crate::container::mount_tree(&spec.rootfs, &at, spec.durable_rootfs)?;
    User::resolve(&Root::open(&at)?, &spec.user, &spec.extra_groups)
}

fn make_dir(path: PathBuf) -> Result<PathBuf, StartError> {
    match std::fs::create_dir(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(sys::Error::from_io("mkdir", &path, &error).into())
        }
        _ => Ok(path),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StartError> {
    std::fs::write(path, bytes).map_err(|error| sys::Error::from_io("write", path, &error).into())
}

/// Makes the bundle: the tree mounted, files written, `config.json` beside.
fn make(spec: &Spec, annotations: &BTreeMap<String, String>, files: &[OwnedFd], dir: &Path) -> Result<(), StartError> {
    let user = mount_root(spec, dir)?;
    let own = make_dir(dir.join(FILES))?;
    for (name, data) in config::system_files(spec) {
        write(&own.join(name), data)?;
    }
    for (number, mount) in spec.mounts.iter().enumerate() {
        match &mount.source {
            Source::Data { data, mode, uid, gid } => {
                let path = own.join(number.to_string());
                write(&path, data)?;
                let root = Root::open(&own)?;
                root.chmod(number.to_string(), *mode)?;
                let (uid, gid) = spec.boundary.users.outside(*uid, *gid);
                // Where there is one id only, whoever runs is that one.
                let _ = root.chown(number.to_string(), uid, gid);
            }
            Source::Tree { rootfs, subpath } => tree(rootfs, subpath, &own, number)?,
            _ => {}
        }
    }
    let prefix = dir.to_str().ok_or_else(|| StartError::Invalid(format!("{} is no text", dir.display())))?;
    let config = config::config(spec, &user, annotations, prefix, files)?;
    write(&dir.join(CONFIG), config.to_string().as_bytes())
}

/// A path inside a tree of layers, mounted for the runtime to bind.
fn tree(rootfs: &RootFs, subpath: &str, own: &Path, number: usize) -> Result<(), StartError> {
    let at = make_dir(own.join(format!("{number}.tree")))?;
    crate::container::mount_tree(rootfs, &at, false)?;
    let root = Root::open(&at)?;
    let found: OwnedFd = if subpath.trim_matches('/').is_empty() {
        root.into_fd()
    } else {
        root.open_file(subpath, sys::OpenFlags::PATH | sys::OpenFlags::CLOEXEC)?.into()
    };
    let over = own.join(number.to_string());
    if sys::stat::of(&found)?.is_dir() {
        make_dir(over.clone())?;
    } else {
        write(&over, b"")?;
    }
    Ok(sys::mount::attach_path(sys::mount::copy(&found, false)?, &over)?)
}
