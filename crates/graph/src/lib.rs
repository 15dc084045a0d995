//! The content-addressed build graph: what a frontend says and a builder does.
//!
//! A [`Graph`] holds vertices; each has an [`Op`], inputs that stood before it, and a
//! [`VertexDigest`] over both. An [`Edge`] is a handle to a vertex that exists, so a cycle cannot
//! be written. Everything here is data: no path is opened and nothing runs.

mod canonical;
mod graph;
mod mount;
pub mod op;
pub mod pattern;
mod vertex;

pub use canonical::Canonical;
pub use graph::{Graph, GraphError};
pub use mount::{Mount, MountKind, Sharing};
pub use op::{
    Copy, Exec, FileAction, FileOp, Git, Http, Id, Merge, ModeChange, Network, Op, Owner, Security, Source, Unpack,
};
pub use vertex::{Edge, Location, Meta, Vertex, VertexDigest};
