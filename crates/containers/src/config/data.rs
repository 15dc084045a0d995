//! The files of a container.

use serde::{Deserialize, Serialize};

/// The files of a container besides its image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Data {
    /// Whether `/` refuses writes.
    pub readonly: bool,
    /// What is mounted.
    pub mounts: Vec<runtime::container::Mount>,
    /// Folders of its own tree that are made where absent.
    pub folders: Vec<String>,
    /// Bytes of `/dev/shm`; `None` is docker's.
    pub shm_size: Option<u64>,
}
