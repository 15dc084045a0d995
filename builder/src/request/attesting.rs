//! What is said of an image besides the image. Nothing in here is part of a cache key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Provenance, and what is in the image.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attesting {
    /// Say how the image was made.
    pub provenance: Option<Provenance>,
    /// Say what is in the image.
    pub sbom: bool,
    /// What the command line asked for; empty where nothing is said of the image.
    pub invocation: Invocation,
}

impl Attesting {
    /// Whether anything is said.
    pub fn is_asked(&self) -> bool {
        self.sbom || self.provenance.is_some()
    }
}

/// How much is said of how an image was made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// With values of build arguments, names of secrets, steps, and the Dockerfile.
    pub max: bool,
    /// The builder's name, a URL.
    pub builder_id: String,
    /// Whether its user says that the build gives the same bytes each time.
    pub reproducible: bool,
    /// Attach it to images only: folders and tars get no file of it.
    pub inline_only: bool,
    /// The file's name in folders and tars, instead of `provenance.json`.
    pub filename: Option<String>,
}

/// What a command line asked for, in BuildKit's words.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Invocation {
    /// The options of the frontend: `build-arg:NAME`, `label:NAME`, `target`, `no-cache`.
    pub args: BTreeMap<String, String>,
    /// The Dockerfile's path in its context.
    pub path: String,
    /// Where context and Dockerfile came from, if not from a folder of this machine: a URL without credentials.
    pub uri: Option<String>,
    /// What that was: `sha1` of a commit, or `sha256`.
    pub digest: BTreeMap<String, String>,
    /// What git says of the context's folder: `source`, `revision`.
    pub vcs: BTreeMap<String, String>,
    /// The Dockerfile.
    pub text: String,
}
