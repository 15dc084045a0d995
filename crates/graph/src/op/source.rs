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

/// A file fetched over http or https, as the only entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// The address.
    pub url: String,
    /// What the content must hash to (`--checksum`).
    pub checksum: Option<Digest>,
    /// Name of the file in the tree.
    pub filename: String,
}

/// A checkout of a git repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// The repository.
    pub url: String,
    /// Branch, tag or commit; the default branch where absent.
    pub reference: Option<String>,
    /// The folder of the repository that becomes the tree.
    pub subdir: Option<String>,
    /// Whether `.git` stays.
    pub keep_git_dir: bool,
    /// The commit that the reference must resolve to (`--checksum`).
    pub checksum: Option<String>,
}
