//! What operations select from their inputs, and the keys of all vertices by definition.
//!
//! A definition key is known before anything runs: a build context enters it by what the operation selects from it, an image by its manifest.

use std::collections::BTreeMap;

use graph::{Copy, Edge, FileAction, Graph, MountKind, Op, Source, Unpack, Vertex};
use store::Store;

use super::key::{Keyed, MAX_FILES, Preimage, SelectionDigest};
use crate::context::{Context, ContextError};
use crate::op::file::select::file_line;
use crate::request::LocalContext;
use crate::solver::state::V;

/// The build contexts of a request, by name.
pub(crate) struct Contexts(BTreeMap<String, Context>);

/// Where a materialised bind source stands in its tree.
pub(crate) const BIND_ROOT: &str = "data";

impl Contexts {
    /// Opens them; nothing is walked yet.
    pub(crate) fn open(contexts: &[LocalContext], store: &Store) -> Result<Self, ContextError> {
        let open = |context: &LocalContext| {
            let id = oci::Digest::sha256(context.dir.as_os_str().as_encoded_bytes()).hex();
            let opened = Context::open(&context.dir, context.rules.clone(), Some(&store.layout().stat_cache(&id)))?;
            Ok((context.name.clone(), opened))
        };
        contexts.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// One of them.
    pub(crate) fn get(&self, name: &str) -> Option<&Context> {
        self.0.get(name)
    }

    /// Writes their stat caches, where they changed.
    pub(crate) fn save(&self) -> Result<(), ContextError> {
        self.0.values().try_for_each(|context| context.save().map(drop))
    }
}

/// Why a vertex has no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DefineError {
    /// A build context.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A context that the request does not have.
    #[error("there is no build context named {0:?}")]
    NoContext(String),
}

/// The vertices that a root needs, and their definition keys.
pub(crate) struct Definitions {
    /// In topological order; a vertex's number is its place here.
    pub(crate) order: Vec<Edge>,
    /// Numbers of each vertex's inputs, as the operation counts them.
    pub(crate) inputs: Vec<Vec<V>>,
    /// Each vertex's key.
    pub(crate) keyed: Vec<Keyed>,
    /// Whether the key may be asked for: neither the vertex nor anything below it ignores the cache.
    pub(crate) usable: Vec<bool>,
}

/// Makes the keys. Reads the contexts' stat caches, and what changed.
pub(crate) fn define(graph: &Graph, root: Edge, contexts: &Contexts) -> Result<Definitions, (Edge, DefineError)> {
    let order = graph.reachable(&[root]);
    let mut numbers = vec![usize::MAX; graph.len()];
    for (number, edge) in order.iter().enumerate() {
        numbers[edge.index()] = number;
    }
    let inputs: Vec<Vec<V>> = order.iter().map(|edge| graph.vertex(*edge).inputs().iter().map(|input| numbers[input.index()]).collect()).collect();
    let mut keyed: Vec<Keyed> = Vec::with_capacity(order.len());
    for (number, edge) in order.iter().enumerate() {
        let vertex = graph.vertex(*edge);
        let mut preimage = Preimage::definition();
        preimage.op(vertex.op());
        for (at, input) in vertex.inputs().iter().enumerate() {
            match graph.vertex(*input).op() {
                Op::Source(Source::Local { .. }) => {}
                Op::Source(Source::Image { manifest, platform, .. }) => preimage.line(&format!("base {at}"), &format!("{manifest} {platform}")),
                Op::Source(Source::Scratch | Source::Http(_) | Source::Git(_)) | Op::Exec(_) | Op::File(_) | Op::Merge(_) => {
                    preimage.line(&format!("input {at}"), &keyed[inputs[number][at]].key.digest().to_string());
                }
            }
        }
        for (at, selected) in selections(vertex) {
            if let Op::Source(Source::Local { name }) = graph.vertex(vertex.inputs()[selected.input]).op() {
                let digest = local(contexts, name, &selected).map_err(|error| (*edge, error))?;
                preimage.selection(at, &digest);
            }
        }
        keyed.push(preimage.finish());
    }
    let mut usable: Vec<bool> = Vec::with_capacity(order.len());
    for (number, edge) in order.iter().enumerate() {
        let below = inputs[number].iter().all(|input| usable[*input]);
        usable.push(below && !graph.vertex(*edge).meta().ignore_cache);
    }
    Ok(Definitions { order, inputs, keyed, usable })
}

/// What an operation reads from inputs other than its first, as COPYs, each with a number of its own.
pub(crate) fn selections(vertex: &Vertex) -> Vec<(usize, Copy)> {
    match vertex.op() {
        Op::File(file) => {
            let copies = file.actions.iter().enumerate().filter_map(|(number, action)| match action {
                FileAction::Copy(copy) => Some((number, copy.clone())),
                FileAction::WriteFile { .. } | FileAction::MakeDir { .. } => None,
            });
            copies.filter(|(_, copy)| copy.input < vertex.inputs().len()).collect()
        }
        Op::Exec(exec) => {
            let binds = exec.mounts.iter().enumerate().filter_map(|(number, mount)| match &mount.kind {
                MountKind::Bind { input, source } => Some((number, bind(*input, source))),
                MountKind::Cache { .. } | MountKind::Tmpfs { .. } | MountKind::File { .. } | MountKind::Secret { .. } | MountKind::Ssh { .. } => None,
            });
            binds.filter(|(_, copy)| copy.input < vertex.inputs().len()).collect()
        }
        Op::Source(_) | Op::Merge(_) => Vec::new(),
    }
}

/// The COPY that materialises a bind mount's source.
pub(crate) fn bind(input: usize, source: &str) -> Copy {
    let source = source.trim_matches('/');
    let source = if source.is_empty() { "." } else { source };
    Copy {
        input,
        sources: vec![source.to_owned()],
        dest: format!("/{BIND_ROOT}"),
        dest_is_dir: false,
        owner: None,
        mode: None,
        exclude: Vec::new(),
        parents: false,
        unpack: Unpack::Never,
        keep_owner: true,
    }
}

fn local(contexts: &Contexts, name: &str, copy: &Copy) -> Result<SelectionDigest, DefineError> {
    let context = contexts.get(name).ok_or_else(|| DefineError::NoContext(name.to_owned()))?;
    let selection = context.select(copy)?;
    let digest = selection.digest()?;
    let entries = selection.entries();
    let mut files = Vec::new();
    if entries.len() <= MAX_FILES {
        files.extend(entries.iter().enumerate().map(|(at, selected)| {
            file_line(&selected.source, selected.entry.mode, selection.content(at).as_ref(), &selected.entry.link)
        }));
    }
    Ok(SelectionDigest { digest, files })
}
