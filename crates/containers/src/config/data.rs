//! The files of a container.

use serde::{Deserialize, Serialize};

use super::mount::{Mount, MountSource};

/// The files of a container besides its image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Data {
    /// Whether `/` refuses writes.
    pub readonly: bool,
    /// What is mounted, in this order.
    pub mounts: Vec<Mount>,
    /// Bytes of `/dev/shm`; `None` is docker's.
    pub shm_size: Option<u64>,
}

impl Data {
    /// The volumes that were made for this container alone.
    pub fn anonymous(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Volume { name, anonymous: true, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The manifests of other images that it mounts.
    pub fn images(&self) -> impl Iterator<Item = &oci::Digest> {
        self.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Image { manifest, .. } => manifest.as_ref(),
            _ => None,
        })
    }

    /// Layers of other images that it mounts: a collector must leave them alone.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.mounts
            .iter()
            .flat_map(|mount| match &mount.source {
                MountSource::Image { layers, .. } => layers.as_slice(),
                _ => &[],
            })
            .map(String::as_str)
    }
}
