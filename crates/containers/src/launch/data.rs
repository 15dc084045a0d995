//! Files: names become places.

use std::fs;
use std::path::PathBuf;

use runtime::container::{Bind, Mount, RootFs, Source, Spec};
use runtime::ladder::Rung;

use super::{Grounds, LaunchError};
use crate::Config;
use crate::config::{self, MountSource};
use crate::volume::Volumes;
use crate::volume::options::{Content, Known};

pub(super) fn apply(config: &Config, grounds: &Grounds<'_>, spec: &mut Spec) -> Result<(), LaunchError> {
    let data = &config.data;
    spec.readonly_rootfs = data.readonly;
    if let Some(size) = data.shm_size {
        spec.shm_size = size;
    }
    for (number, mount) in data.mounts.iter().enumerate() {
        let bare = matches!(grounds.probe.rung, Rung::Chroot);
        if bare && matches!(mount.source, MountSource::Volume { anonymous: true, .. }) {
            // Where nothing can be mounted, what is the container's alone is in its own tree.
            spec.folders.push(mount.target.clone());
        } else {
            spec.mounts.push(place(config, grounds, mount, number)?);
        }
    }
    Ok(())
}

fn place(config: &Config, grounds: &Grounds<'_>, mount: &config::Mount, number: usize) -> Result<Mount, LaunchError> {
    let bind = Bind { flags: mount.flags, own: mount.own, ..Bind::default() };
    let mut readonly = mount.readonly;
    let source = match &mount.source {
        MountSource::Bind { path, recursive, propagation, shallow } => Source::Bind(Box::new(Bind {
            path: path.clone(),
            recursive: *recursive,
            propagation: *propagation,
            shallow: *shallow,
            ..bind
        })),
        MountSource::Overlay { path } => {
            let rootfs = changes(config, grounds, vec![path.clone()], number)?;
            Source::Tree { rootfs, subpath: String::new() }
        }
        MountSource::Volume { name, subpath, nocopy, .. } => {
            let (source, only) = volume(grounds, name, subpath, *nocopy, bind)?;
            readonly |= only;
            source
        }
        MountSource::Memory(memory) => Source::Memory(Box::new(memory.clone())),
        MountSource::Image { layers, subpath, .. } => {
            let lowers: Vec<PathBuf> = layers.iter().map(|layer| grounds.layout.tree(layer)).collect();
            let rootfs =
                if mount.readonly { RootFs::View { lowers } } else { changes(config, grounds, lowers, number)? };
            Source::Tree { rootfs, subpath: subpath.clone() }
        }
    };
    Ok(Mount { target: mount.target.clone(), source, readonly })
}

/// A volume's content, and whether it refuses writes of itself.
fn volume(
    grounds: &Grounds<'_>,
    name: &str,
    subpath: &str,
    nocopy: bool,
    bind: Bind,
) -> Result<(Source, bool), LaunchError> {
    let volumes = Volumes::new(grounds.layout);
    let volume = volumes.get(name)?;
    let known = Known::parse(&volume.options)
        .map_err(|why| crate::volume::VolumeError::Option { name: name.to_owned(), why })?;
    let mut flags = bind.flags;
    flags.noexec |= known.flags.noexec;
    flags.nosuid |= known.flags.nosuid;
    flags.noatime |= known.flags.noatime;
    let bind = Bind { flags, subpath: subpath.to_owned(), ..bind };
    let source = match known.content {
        Content::Folder => {
            let fresh = volumes.fresh(name);
            let fill = (!nocopy && fresh.exists()).then_some(fresh);
            Source::Bind(Box::new(Bind { path: volumes.data(name), fill, ..bind }))
        }
        Content::Bind { path, recursive } => Source::Bind(Box::new(Bind { path, recursive, ..bind })),
        Content::Memory(memory) => Source::Memory(Box::new(memory)),
    };
    Ok((source, known.readonly))
}

/// A tree over directories that are not changed: what is written goes to the container's snapshot, and away with it.
fn changes(config: &Config, grounds: &Grounds<'_>, lowers: Vec<PathBuf>, number: usize) -> Result<RootFs, LaunchError> {
    let folder = grounds.layout.snapshot(&config.id).join(format!("mount-{number}"));
    let (upper, work) = (folder.join("fs"), folder.join("work"));
    for made in [&upper, &work] {
        fs::create_dir_all(made).map_err(|source| LaunchError::Folder { path: made.clone(), source })?;
    }
    Ok(RootFs::Overlay { lowers, upper, work })
}
