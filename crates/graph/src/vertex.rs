//! Vertices, the edges between them, and their digests.

use std::fmt;

use oci::{Digest, Platform};
use serde::{Deserialize, Serialize};

use crate::Op;

/// A handle to a vertex of one graph; only [`crate::Graph::add`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Edge(pub(crate) u32);

impl Edge {
    /// The position of the vertex in topological order, from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The digest of a vertex: its operation and the digests of its inputs, never its [`Meta`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VertexDigest(pub(crate) Digest);

impl VertexDigest {
    /// The digest itself.
    pub fn digest(&self) -> &Digest {
        &self.0
    }
}

impl fmt::Display for VertexDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One operation and where its inputs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<Edge>,
    pub(crate) digest: VertexDigest,
    pub(crate) meta: Meta,
}

impl Vertex {
    /// What it does.
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// What it reads; each operation says what its inputs mean.
    pub fn inputs(&self) -> &[Edge] {
        &self.inputs
    }

    /// Its digest.
    pub fn digest(&self) -> VertexDigest {
        self.digest
    }

    /// What people are told of it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// What people are told of a vertex. It changes no digest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Meta {
    /// Its line in the progress, such as `[build 2/5] RUN make`.
    pub name: String,
    /// The stage it belongs to, by name or number.
    pub stage: Option<String>,
    /// Where it was written.
    pub location: Option<Location>,
    /// Whether the cache must not answer for it (`--no-cache`).
    pub ignore_cache: bool,
    /// The platform whose programs it runs, where it runs any.
    #[serde(default)]
    pub platform: Option<Platform>,
}

/// Lines of a Dockerfile, numbered from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The file as the user named it.
    pub file: String,
    /// The first line.
    pub first_line: u32,
    /// The last line, included.
    pub last_line: u32,
}
