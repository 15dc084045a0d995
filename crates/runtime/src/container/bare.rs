//! A container by chroot alone: inside another container that refuses namespaces and mounts.
//!
//! No `/proc`, no terminal, no network of its own, and files that would be mounted over others are only put where the
//! image has none. What it shares with its surroundings, it shares: the outer container is the wall.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use sys::Root;

use super::device::{Attached, NODES};
use super::error::StartError;
use super::spec::{Network, Source, Spec};
use super::stub::{MountPoints, Stubs};
use crate::snapshot::RootFs;

/// Changes the root.
pub(super) fn enter(
    spec: &Spec,
    host_proc: Option<OwnedFd>,
    stubs: &mut Stubs,
) -> Result<(MountPoints, Option<Attached>, Option<OwnedFd>), StartError> {
    let RootFs::Dir(dir) = &spec.rootfs else {
        return Err(StartError::Invalid("layers can't be mounted where namespaces are refused".to_owned()));
    };
    if spec.network != Network::Host {
        return Err(StartError::Invalid(
            "only the host's network is to be had where namespaces are refused".to_owned(),
        ));
    }
    let mut points = MountPoints::new(Root::open(dir)?, None);
    let filled = fill(&mut points, spec);
    *stubs = points.stubs.clone();
    filled?;
    rustix::process::fchdir(points.root()).map_err(|errno| StartError::setup("fchdir", errno))?;
    rustix::process::chroot(".").map_err(|errno| StartError::setup("chroot", errno))?;
    Ok((points, None, host_proc))
}

fn fill(points: &mut MountPoints, spec: &Spec) -> Result<(), StartError> {
    points.open("dev", true)?;
    for (name, major, minor) in NODES {
        points.device(&format!("dev/{name}"), (major, minor))?;
    }
    let system = [("/etc/resolv.conf", &spec.resolv_conf), ("/etc/hosts", &spec.hosts)];
    for (target, data) in system {
        if let Some(data) = data {
            points.write(target, data, 0o644)?;
        }
    }
    for mount in &spec.mounts {
        match &mount.source {
            Source::Data { data, mode, .. } => points.write(&mount.target, data, *mode)?,
            Source::Tmpfs { .. } | Source::Memory(_) => drop(points.open(&mount.target, true)?),
            Source::Path { .. } | Source::Bind(_) | Source::File { .. } | Source::Tree { .. } => {
                return Err(StartError::setup(format!("mount {}", mount.target), Errno::PERM));
            }
        }
    }
    Ok(())
}
