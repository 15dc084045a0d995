//! `RUN --mount` as data: what the syntax means, not what a kernel does.

use serde::{Deserialize, Serialize};

/// Something mounted while a program runs; it never becomes part of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, absolute or relative to the working directory; empty for a secret that is only a variable.
    pub target: String,
    /// Whether writes are refused.
    pub readonly: bool,
    /// What.
    pub kind: MountKind,
}

/// What is mounted. Matches on it are exhaustive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of another input; writes, where allowed, are thrown away.
    Bind {
        /// Which input of the vertex.
        input: usize,
        /// The path in it.
        source: String,
    },
    /// A directory that outlives the build.
    Cache {
        /// Its name; the target where none was written.
        id: String,
        /// Who may use it at once.
        sharing: Sharing,
        /// An input and a path in it that a new cache starts from.
        seed: Option<(usize, String)>,
        /// Permissions of a new one.
        mode: u32,
        /// Owner of a new one.
        uid: u32,
        /// Group of a new one.
        gid: u32,
    },
    /// Memory.
    Tmpfs {
        /// Its limit in bytes.
        size: Option<u64>,
    },
    /// A file whose content the Dockerfile holds (a RUN heredoc with `#!`).
    File {
        /// The content.
        data: Vec<u8>,
        /// Permissions.
        mode: u32,
    },
    /// A secret, as a file or a variable.
    Secret {
        /// Its name.
        id: String,
        /// The variable that holds it, if one does; it is a file as well where the mount has a target.
        env: Option<String>,
        /// Whether the build fails without it.
        required: bool,
        /// Permissions.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// The socket of an agent.
    Ssh {
        /// Its name; `default`.
        id: String,
        /// Whether the build fails without it.
        required: bool,
        /// Permissions.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

/// Who may use a cache mount at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Each its own copy.
    Private,
    /// One after another.
    Locked,
}
