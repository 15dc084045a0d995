//! Stage state → vertices and an image configuration.

mod stage;

use std::collections::{BTreeMap, HashMap};

use graph::{Edge, Graph};
use oci::{ImageConfig, Platform};
pub(crate) use stage::{StageBuild, Start};

use crate::diagnostic::{Diagnostic, Findings};
use crate::environment::{Environment, ListIndex};
use crate::limit::MAX_PLAN_BYTES;
use crate::plan::{Images, Options, Remotes, StageNames, Wanted};
use crate::source::Span;

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
    /// The build arguments that the reachable stages declare, with the values
    /// that were given.
    pub used_args: BTreeMap<String, String>,
    /// Build arguments that were given and that no ARG declares.
    pub unused_args: Vec<String>,
    /// The vertex of the base image that `root` stands on; `None` for scratch,
    /// for an image without layers and for a directory.
    pub base: Option<Edge>,
    /// `SOURCE_DATE_EPOCH`, as the caller, a build argument or a global ARG
    /// says.
    pub epoch: Option<Epoch>,
}

/// The time that takes the place of later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// Seconds since 1970.
    Seconds(i64),
    /// That of the newest file in the build context.
    Context,
}

/// What is the same for all stages of a plan.
pub(crate) struct Shared<'a> {
    pub(crate) options: &'a Options,
    pub(crate) escape: char,
    pub(crate) file: &'a str,
    pub(crate) globals: &'a Environment,
    pub(crate) names: &'a StageNames,
    pub(crate) images: &'a Images,
    pub(crate) remotes: &'a Remotes,
    pub(crate) proxies: Vec<(String, String)>,
    pub(crate) hostname: Option<String>,
}

/// What a stage hands on to one that starts from it.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) root: Edge,
    pub(crate) base: Option<Edge>,
    pub(crate) config: ImageConfig,
    /// The variables that instructions see: the image's, and ARGs.
    pub(crate) env: Environment,
    /// Where the variables stand in the configuration's list.
    pub(crate) env_index: ListIndex,
    pub(crate) platform: Platform,
    /// Whether a WORKDIR was seen.
    pub(crate) workdir_set: bool,
    /// ARGs in the order they were declared first.
    declared: Vec<String>,
    declared_values: HashMap<String, String>,
}

impl State {
    fn weight(&self) -> usize {
        let history: usize = self.config.history.iter().map(|entry| entry.created_by.len() + 128).sum();
        let labels: usize = self.config.config.labels.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        self.env.weight() * 3 + history + labels + self.config.config.exposed_ports.len() * 64
    }
}

/// Instructions of which the last one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Once {
    Cmd,
    Entrypoint,
    Healthcheck,
}

/// What is being made: the graph, and what was found on the way.
pub(crate) struct Making {
    pub(crate) graph: Graph,
    pub(crate) findings: Findings,
    pub(crate) used_args: BTreeMap<String, String>,
    /// What ADDs fetch and nobody has answered yet.
    pub(crate) wanted: Vec<Wanted>,
    /// The states of finished stages, by number.
    pub(crate) finished: Vec<Option<State>>,
    /// Bytes that the plan may still take.
    room: usize,
    pub(crate) exhausted: bool,
}

impl Making {
    pub(crate) fn new(stages: usize) -> Making {
        Making {
            graph: Graph::new(),
            findings: Findings::default(),
            used_args: BTreeMap::new(),
            wanted: Vec::new(),
            finished: vec![None; stages],
            room: MAX_PLAN_BYTES,
            exhausted: false,
        }
    }

    pub(crate) fn spend(&mut self, bytes: usize, span: Span) {
        if self.exhausted {
            return;
        }
        match self.room.checked_sub(bytes) {
            Some(room) => self.room = room,
            None => {
                self.exhausted = true;
                let message = format!("the plan takes more than {} MiB", MAX_PLAN_BYTES >> 20);
                let error = Diagnostic::error("PlanTooLarge", message).at(span);
                self.findings.push(error.help("variables times RUNs, or ports times stages, come to this much here"));
            }
        }
    }
}

/// A path in clean absolute form; relative ones start at `directory`.
pub(crate) fn absolute(directory: &str, path: &str) -> String {
    let clean = if path.starts_with('/') { clean(path) } else { clean(&format!("{directory}/{path}")) };
    if clean == "." { "/".to_owned() } else { format!("/{clean}") }
}

/// A path relative to the root, without empty parts, `.` and `..`, none of
/// which lead above the root; `.` for the root itself.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}
