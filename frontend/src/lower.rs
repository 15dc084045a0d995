//! Stage state → vertices and an image configuration.

use std::collections::BTreeMap;

use graph::{Edge, Graph};
use oci::ImageConfig;

use crate::diagnostic::Diagnostic;

/// A Dockerfile as a graph.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The graph.
    pub graph: Graph,
    /// The vertex whose result is the image's root file system.
    pub root: Edge,
    /// The image's configuration. `rootfs.diff_ids` and the times in `history`
    /// are the base's alone; every vertex that makes a layer has an entry with
    /// `empty_layer: false`, in order.
    pub config: ImageConfig,
    /// What the build goes on in spite of.
    pub warnings: Vec<Diagnostic>,
    /// The build arguments that the target's stages used, with their values.
    pub used_args: BTreeMap<String, String>,
    /// Build arguments that were given and that no ARG declares.
    pub unused_args: Vec<String>,
    /// The tree that `root` stands on: the vertex of the base, `None` for scratch.
    pub base: Option<Edge>,
}
