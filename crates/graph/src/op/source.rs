//! Trees that come from outside the graph.

use oci::{Digest, Platform};
use serde::{Deserialize, Serialize};

/// Where a tree comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The empty tree.
    Scratch,
    /// The layers of an image.
    Image {
        /// The reference as it was written, for people; not part of the digest.
        reference: String,
        /// The digest of the manifest for the platform.
        manifest: Digest,
        /// The platform it was chosen for.
        platform: Platform,
    },
    /// A directory that the caller supplies under this name; `context` is the main one.
    Local {
        /// Name of the build context.
        name: String,
    },
    /// A file fetched over http or https.
    Http(Http),
    /// A checkout of a git repository.
    Git(Git),
}

/// A file fetched over http or https, as the only entry of a tree. What it is decides, not where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// The address without login, for people; not part of the digest.
    pub url: String,
    /// What the content hashes to.
    pub digest: Digest,
    /// Name of the file in the tree.
    pub filename: String,
}

/// A checkout of a git repository, or of a folder of it. The commit decides, not where it was fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// The repository without login. It stands in a `.git` that stays, and is then part of the digest; else it is for people.
    pub url: String,
    /// The branch, tag or commit that was asked for, for people; not part of the digest.
    pub reference: Option<String>,
    /// What that turned out to be: forty or sixty-four hexadecimal digits.
    pub commit: String,
    /// The folder of the repository that becomes the tree: relative and clean.
    pub subdir: Option<String>,
    /// Whether `.git` stays.
    pub keep_git_dir: bool,
    /// Whether submodules are checked out too.
    pub submodules: bool,
}
