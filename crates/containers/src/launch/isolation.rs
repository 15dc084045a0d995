//! What the program may do.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use runtime::container::{Boundary, CapSet, Device, Mount, Namespace, Namespaces, Paths, Seccomp, Source, Spec, Users};
use runtime::ladder::Rung;

use super::LaunchError;
use crate::Config;
use crate::config::{self, Isolation, Share};

/// Folders of `/dev` that are a container's own whatever it may do.
const OWN_FOLDERS: [&str; 4] = ["pts", "shm", "mqueue", "fd"];
/// Nodes of `/dev` that mean something else inside.
const OWN_NODES: [&str; 3] = ["console", "ptmx", "tty"];
/// More nodes than this nobody has; a loop of folders would.
const MAX_NODES: usize = 4096;

pub(super) fn apply(config: &Config, rung: &Rung, spec: &mut Spec) -> Result<(), LaunchError> {
    let isolation = &config.isolation;
    spec.caps = CapSet::adjusted(&isolation.cap_add, &isolation.cap_drop)?;
    spec.seccomp = isolation.seccomp.clone().unwrap_or(Seccomp::Default);
    spec.no_new_privs = isolation.no_new_privs;
    spec.privileged = isolation.privileged;
    spec.boundary = boundary(isolation);
    spec.boundary.users = super::users::users(&isolation.users, rung)?;
    for device in &isolation.devices {
        give(device, spec)?;
    }
    if isolation.privileged {
        spec.boundary.devices.extend(all_devices(Path::new("/dev"), ""));
    }
    Ok(())
}

/// Everything but devices and what is another container's.
fn boundary(isolation: &Isolation) -> Boundary {
    let namespace = |share: &Share| match share {
        Share::Own => Namespace::Own,
        // Settled by what is shared, once that is looked for.
        Share::Host | Share::Container(_) => Namespace::Host,
    };
    Boundary {
        namespaces: Namespaces {
            pid: namespace(&isolation.pid),
            ipc: namespace(&isolation.ipc),
            uts: namespace(&isolation.uts),
            cgroup: namespace(&isolation.cgroup),
        },
        users: Users::Same,
        paths: paths(&isolation.masked, &isolation.unmasked),
        devices: Vec::new(),
        sysctls: isolation.sysctls.clone(),
        proc_options: isolation.proc_options.clone(),
        domainname: isolation.domainname.clone(),
        umask: isolation.umask,
        keep_groups: isolation.keep_groups,
        no_shm: isolation.no_shm,
        label: isolation.label.clone(),
        profile: isolation.profile.clone(),
        landlock: !isolation.no_landlock,
    }
}

/// docker's paths, with these hidden too and those shown.
fn paths(masked: &[String], unmasked: &[String]) -> Paths {
    let mut paths = Paths::default();
    let shown = |path: &String| {
        unmasked.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => pattern == path || pattern == "ALL",
        })
    };
    paths.masked.retain(|path| !shown(path));
    paths.readonly.retain(|path| !shown(path));
    paths.masked.extend(masked.iter().cloned());
    paths
}

/// A node below `/dev` becomes one of the container's; elsewhere it is mounted.
fn give(device: &config::Device, spec: &mut Spec) -> Result<(), LaunchError> {
    let wrong = |why: &str| LaunchError::Device { path: device.host.clone(), why: why.to_owned() };
    let host = device.host.canonicalize().map_err(|error| wrong(&error.to_string()))?;
    let metadata = host.metadata().map_err(|error| wrong(&error.to_string()))?;
    let below = device.inside.strip_prefix("/dev/").map(|name| name.trim_end_matches('/'));
    match below {
        _ if !metadata.is_dir() && !is_device(&metadata) => return Err(wrong("it is no device")),
        Some(name) if !safe(name) => return Err(wrong("its path inside is not a plain one below /dev")),
        Some(name) if metadata.is_dir() => {
            let found = all_devices(&host, &format!("{name}/"));
            if found.is_empty() {
                return Err(wrong("there is no device in this folder"));
            }
            spec.boundary.devices.extend(found);
        }
        Some(name) => spec.boundary.devices.push(Device { host, name: name.to_owned() }),
        None => {
            let source = Source::Path { path: host, recursive: false };
            spec.mounts.push(Mount { target: device.inside.clone(), source, readonly: false });
        }
    }
    Ok(())
}

fn is_device(metadata: &std::fs::Metadata) -> bool {
    metadata.file_type().is_char_device() || metadata.file_type().is_block_device()
}

/// Whether a name below `/dev` leads nowhere but down.
fn safe(name: &str) -> bool {
    !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Every node below a folder, with what it is called inside. What cannot be read is left out.
fn all_devices(dir: &Path, prefix: &str) -> Vec<Device> {
    let (mut found, mut folders) = (Vec::new(), vec![(PathBuf::from(dir), prefix.to_owned())]);
    while let Some((dir, prefix)) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            let top = prefix.is_empty();
            if kind.is_dir() && !(top && OWN_FOLDERS.contains(&name.as_str())) {
                folders.push((entry.path(), format!("{prefix}{name}/")));
            } else if (kind.is_char_device() || kind.is_block_device()) && !(top && OWN_NODES.contains(&name.as_str()))
            {
                found.push(Device { host: entry.path(), name: format!("{prefix}{name}") });
            }
        }
        if found.len() > MAX_NODES || folders.len() > MAX_NODES {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_by_name_start_or_all() {
        let of = |unmasked: &[&str]| {
            let unmasked: Vec<_> = unmasked.iter().map(|path| (*path).to_owned()).collect();
            let paths = paths(&["/x".to_owned()], &unmasked);
            (paths.masked.len(), paths.readonly.len())
        };
        assert_eq!(of(&[]), (13, 5));
        assert_eq!(of(&["ALL"]), (1, 0));
        assert_eq!(of(&["/proc/*"]), (3, 0));
        assert_eq!(of(&["/proc/kcore", "/proc/sys"]), (12, 4));
    }

    #[test]
    fn names_below_dev_lead_down() {
        for (name, expected) in
            [("a", true), ("a/b", true), ("", false), ("../a", false), ("a//b", false), ("a/.", false)]
        {
            assert_eq!(safe(name), expected, "{name}");
        }
    }
}
