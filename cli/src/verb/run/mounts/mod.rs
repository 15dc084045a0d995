//! `-v`, `--mount` and `--tmpfs`: what is written becomes mounts of a container's configuration.

mod keyed;
mod tmpfs;
mod volume;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use containers::ContainerId;
use containers::config::{Mount, MountSource};
use runtime::container::{Flags, Propagation};

use crate::duration::parse_size;
use crate::error::{Error, Result};

pub(in crate::verb) use keyed::check_driver;
pub(super) use keyed::mount;
pub(super) use tmpfs::{REFUSED, tmpfs};
pub(super) use volume::volume;

/// A mount, and what its volume is made with where there is none yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) mount: Mount,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) options: BTreeMap<String, String>,
}

impl From<Mount> for Asked {
    fn from(mount: Mount) -> Self {
        Self { mount, labels: BTreeMap::new(), options: BTreeMap::new() }
    }
}

impl Asked {
    /// A volume of its own, at an absolute path.
    pub(super) fn anonymous(target: &str) -> Result<Self> {
        let name = ContainerId::random().map_err(|error| Error::failed(error.to_string()))?.to_string();
        let source = MountSource::Volume { name, anonymous: true, subpath: String::new(), nocopy: false };
        Ok(plain(target, source).into())
    }
}

/// A `-v` of a build: a file or folder of the host; `None` for a volume.
pub(in crate::verb) fn of_host(written: &str) -> Result<Option<runtime::container::Mount>> {
    let mount = volume(written)?.mount;
    Ok(match mount.source {
        MountSource::Bind { path, recursive, propagation, shallow } => {
            let (flags, own) = (mount.flags, mount.own);
            let bind = runtime::container::Bind {
                path,
                recursive,
                propagation,
                shallow,
                flags,
                own,
                ..runtime::container::Bind::default()
            };
            let source = runtime::container::Source::Bind(Box::new(bind));
            Some(runtime::container::Mount { target: mount.target, source, readonly: mount.readonly })
        }
        _ => None,
    })
}

pub(super) fn plain(target: &str, source: MountSource) -> Mount {
    Mount { target: target.to_owned(), source, readonly: false, flags: Flags::default(), own: false }
}

fn bind(path: PathBuf) -> MountSource {
    MountSource::Bind { path, recursive: true, propagation: Propagation::Private, shallow: false }
}

fn absolute_target(target: &str, what: &str) -> Result {
    if target.starts_with('/') && target.split('/').any(|part| !matches!(part, "" | "." | "..")) {
        return Ok(());
    }
    Err(Error::usage(format!("{what}: `{target}` is not an absolute path inside the container")))
}

/// A word for the propagation of mounts.
fn propagation(word: &str) -> Option<Propagation> {
    match word {
        "private" | "rprivate" | "unbindable" | "runbindable" => Some(Propagation::Private),
        "slave" | "rslave" => Some(Propagation::Slave),
        "shared" | "rshared" => Some(Propagation::Shared),
        _ => None,
    }
}

/// A word for what a mount refuses; whether it is one.
fn flag(word: &str, flags: &mut Flags) -> bool {
    match word {
        "exec" => flags.noexec = false,
        "noexec" => flags.noexec = true,
        "suid" => flags.nosuid = false,
        "nosuid" => flags.nosuid = true,
        "dev" => flags.dev = true,
        "nodev" => flags.dev = false,
        "noatime" => flags.noatime = true,
        "atime" | "relatime" | "norelatime" | "strictatime" | "nostrictatime" | "diratime" | "nodiratime" => {}
        _ => return false,
    }
    true
}

fn size_of(text: &str, whole: &str) -> Result<u64> {
    parse_size(text).ok_or_else(|| Error::usage(format!("{whole}: `{text}` is not a size such as 64m")))
}

fn mode_of(text: &str, whole: &str) -> Result<u32> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| Error::usage(format!("{whole}: `{text}` is not an octal mode")))
}

fn number_of<T: std::str::FromStr>(text: &str, whole: &str) -> Result<T> {
    text.parse().map_err(|_| Error::usage(format!("{whole}: `{text}` is not a number")))
}

/// A folder or file that has to be there.
fn existing(path: &str, what: &str) -> Result<PathBuf> {
    let path = std::path::absolute(Path::new(path))?;
    if !path.exists() {
        return Err(
            Error::failed(format!("{what}: {} does not exist", path.display())).hint("`-v` would make it a folder")
        );
    }
    Ok(path)
}
