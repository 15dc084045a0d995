//! What is mounted in a container, as it was asked: names, not yet places.

use std::path::PathBuf;

use runtime::container::{Flags, Memory, Propagation};
use serde::{Deserialize, Serialize};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, an absolute path inside.
    pub target: String,
    /// What.
    pub source: MountSource,
    /// Whether it refuses writes.
    #[serde(default)]
    pub readonly: bool,
    /// What else it refuses; of memory, [`Memory::flags`] says it.
    #[serde(default)]
    pub flags: Flags,
    /// Whether all of it is given to the container's user at each start (`:U`).
    #[serde(default)]
    pub own: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Absolute.
        path: PathBuf,
        /// Whether with all mounts below.
        recursive: bool,
        /// What becomes of mounts that are made below later.
        #[serde(default)]
        propagation: Propagation,
        /// Whether read-only leaves the mounts below writable.
        #[serde(default)]
        shallow: bool,
    },
    /// A directory of the host, over which writes go elsewhere, and away with the container (`:O`).
    Overlay {
        /// Absolute.
        path: PathBuf,
    },
    /// A volume.
    Volume {
        /// Its name.
        name: String,
        /// Whether it was made for this container alone, and goes with it.
        #[serde(default)]
        anonymous: bool,
        /// A path inside it, resolved within it; empty means all of it.
        #[serde(default)]
        subpath: String,
        /// Whether it is not filled from the image at first use.
        #[serde(default)]
        nocopy: bool,
    },
    /// A directory in memory.
    Memory(Memory),
    /// Another image's tree.
    Image {
        /// As it was asked for.
        name: String,
        /// Its manifest, once it was found.
        #[serde(default)]
        manifest: Option<oci::Digest>,
        /// The ids of its layers' trees, base first, once they are there.
        #[serde(default)]
        layers: Vec<String>,
        /// A path inside it, resolved within it; empty means all of it.
        #[serde(default)]
        subpath: String,
    },
}

impl Mount {
    /// The name of the volume, if it is one.
    pub fn volume(&self) -> Option<&str> {
        match &self.source {
            MountSource::Volume { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// Two ways of writing one target are one target.
pub fn same_target(a: &str, b: &str) -> bool {
    let parts = |path: &str| -> Vec<String> {
        path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
    };
    parts(a) == parts(b)
}
