//! What a build tells while it runs: events as data. One JSON object per event is `--progress=rawjson`.

use graph::{Location, Op, Source};
use oci::Digest;
use serde::{Deserialize, Serialize};

/// A vertex of the build, by its place in [`Event::Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VertexId(pub u32);

/// What a progress display needs to know of a vertex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VertexInfo {
    /// Its id in this build's events.
    pub vertex: VertexId,
    /// Its digest in the graph.
    pub digest: Digest,
    /// As people read it: `[build 2/5] RUN make`.
    pub name: String,
    /// The stage it belongs to.
    pub stage: Option<String>,
    /// Where the Dockerfile says it.
    pub location: Option<Location>,
    /// What it reads.
    pub inputs: Vec<VertexId>,
    /// What it does.
    #[serde(default)]
    pub kind: Kind,
}

/// What a vertex does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something that this version does not know.
    #[default]
    Other,
    /// Nothing: an empty tree.
    Scratch,
    /// Brings a base image.
    Image,
    /// Reads a build context.
    Context,
    /// Fetches: http or git.
    Remote,
    /// Runs a program.
    Run,
    /// Writes files.
    File,
    /// Puts layers upon each other.
    Merge,
}

impl Kind {
    /// The kind of an operation.
    pub fn of(op: &Op) -> Kind {
        match op {
            Op::Source(Source::Scratch) => Kind::Scratch,
            Op::Source(Source::Image { .. }) => Kind::Image,
            Op::Source(Source::Local { .. }) => Kind::Context,
            Op::Source(Source::Http(_) | Source::Git(_)) => Kind::Remote,
            Op::Exec(_) => Kind::Run,
            Op::File(_) => Kind::File,
            Op::Merge(_) => Kind::Merge,
        }
    }
}

/// One of a process's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Something happened. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The first event: the build's vertices, inputs before their users.
    Plan {
        /// Names the build's folder of logs.
        build: String,
        /// All of them.
        vertices: Vec<VertexInfo>,
    },
    /// A vertex's result was found.
    Cached {
        /// Which.
        vertex: VertexId,
    },
    /// A vertex has no result yet.
    Missed {
        /// Which.
        vertex: VertexId,
        /// In words: "content of src/a.rs changed".
        why: String,
    },
    /// A vertex's operation runs.
    Started {
        /// Which.
        vertex: VertexId,
        /// When.
        time: i64,
    },
    /// A vertex waits for another process that makes the same result.
    Waiting {
        /// Which.
        vertex: VertexId,
    },
    /// Bytes a vertex's process wrote.
    Log {
        /// Which.
        vertex: VertexId,
        /// Where to.
        stream: Stream,
        /// What, lossily decoded: the log on disk is exact.
        text: String,
    },
    /// How far an operation is; `total` 0 where unknown.
    Progress {
        /// Which; `None` for exports.
        vertex: Option<VertexId>,
        /// What is counted: "files", "bytes", "layers".
        unit: String,
        /// So many done.
        done: u64,
        /// Of so many.
        total: u64,
    },
    /// A vertex's operation ended well.
    Done {
        /// Which.
        vertex: VertexId,
        /// When.
        time: i64,
    },
    /// A vertex's operation failed.
    Failed {
        /// Which.
        vertex: VertexId,
        /// When.
        time: i64,
        /// In words.
        message: String,
    },
    /// A vertex was given up, since another failed or the build was cancelled.
    Cancelled {
        /// Which.
        vertex: VertexId,
    },
    /// Something worth a line: a fallback taken, an option without effect.
    Note {
        /// The line.
        message: String,
    },
    /// An export began.
    Exporting {
        /// What is written: "image docker.io/library/app:latest".
        what: String,
    },
    /// The last event of a build that worked.
    Built {
        /// The image's manifest.
        manifest: Option<Digest>,
        /// When.
        time: i64,
    },
}
