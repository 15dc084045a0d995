//! Writing files into a tree.

use serde::{Deserialize, Serialize};

/// Actions that together make one layer on input 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileOp {
    /// What is done, in order.
    pub actions: Vec<FileAction>,
}

/// One step of a [`FileOp`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAction {
    /// Copies from another input.
    Copy(Copy),
    /// Writes a file whose content the Dockerfile holds (a heredoc).
    WriteFile {
        /// Where, absolute; a trailing slash is not allowed here.
        path: String,
        /// The content.
        data: Vec<u8>,
        /// Permissions; 0644 where absent.
        mode: Option<ModeChange>,
        /// Owner; 0:0 where absent.
        owner: Option<Owner>,
    },
    /// Makes a directory; one that exists stays as it is.
    MakeDir {
        /// Where, absolute.
        path: String,
        /// Permissions.
        mode: u32,
        /// Owner; 0:0 where absent.
        owner: Option<Owner>,
        /// Whether missing parents are made too.
        parents: bool,
    },
}

/// Copies what the patterns select.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Which input of the vertex it reads; never 0.
    pub input: usize,
    /// Patterns in the input, relative to its root; Go's `filepath.Match`, and `**` with `parents`.
    pub sources: Vec<String>,
    /// Where to, absolute.
    pub dest: String,
    /// Whether the destination was written as a directory (a trailing slash, or several sources).
    pub dest_is_dir: bool,
    /// Owner of what is written; 0:0 where absent, the source's where `keep_owner`.
    pub owner: Option<Owner>,
    /// Permissions of what is written; the source's where absent.
    pub mode: Option<ModeChange>,
    /// Patterns of what is left out, relative to each source.
    pub exclude: Vec<String>,
    /// Whether the sources' parent directories are kept, from the pivot `/./` on.
    pub parents: bool,
    /// Whether archives are unpacked.
    pub unpack: Unpack,
    /// Whether the input's owners are kept, as from a stage or an image; those of a build context mean nothing.
    pub keep_owner: bool,
}

/// When `ADD` unpacks an archive.
#[derive(Debug, Clone, std::marker::Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unpack {
    /// Never.
    #[default]
    Never,
    /// What is a tar by content.
    Archives,
}

/// A change of permissions (`--chmod`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeChange {
    /// These bits, at most 07777.
    Octal(u32),
    /// `chmod`'s symbolic form, such as `u+x,go-w`; already checked to be well formed.
    Symbolic(String),
}

/// Who owns what is written (`--chown`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The user.
    pub user: Id,
    /// The group; the user's number, or its primary group if it is a name, where absent.
    pub group: Option<Id>,
}

/// A user or group; names are looked up in the tree that is written onto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Id {
    /// A number.
    Number(u32),
    /// A name in `/etc/passwd` or `/etc/group`.
    Name(String),
}
