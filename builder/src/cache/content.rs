//! What operations select from their inputs, and the keys of all vertices by definition.
//!
//! A definition key is known before anything runs: a build context enters it by what the operation selects from it, an image by its manifest.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use graph::pattern::IgnoreRules;
use graph::{Copy, Edge, FileAction, Graph, MountKind, Op, Source, Unpack, Vertex};
use oci::{Digest, Hasher};
use store::Store;

use super::key::{Keyed, Preimage};
use crate::context::{Context, ContextError, Selection};
use crate::op::file::FileError;
use crate::request::LocalContext;
use crate::solver::state::V;

/// The build contexts of a request, by name.
pub(crate) struct Contexts {
    named: BTreeMap<String, Local>,
    /// What was fetched, by its name in the store, opened when it is wanted.
    fetched: Mutex<BTreeMap<String, Local>>,
}

/// A build context, and what was selected from it: keys, layers and explanations ask for the same.
#[derive(Clone)]
pub(crate) struct Local {
    context: Context,
    known: Arc<Mutex<Vec<(Copy, Selection)>>>,
}

impl Local {
    /// Nothing was selected yet.
    pub(crate) fn new(context: Context) -> Self {
        Self { context, known: Arc::default() }
    }

    /// The context itself.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// What a COPY takes.
    pub(crate) fn select(&self, copy: &Copy) -> Result<Selection, ContextError> {
        // What another thread left is whole: an entry is pushed or it is not.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, selection)) = known.iter().find(|(known, _)| known == copy) {
            return Ok(selection.clone());
        }
        let selection = self.context.select(copy)?;
        known.push((copy.clone(), selection.clone()));
        Ok(selection)
    }
}

/// A vertex keeps at most so many lines of files: a few kilobytes.
const MAX_LINES: usize = 256;
/// Folders are told apart to this depth at most.
const MAX_DEPTH: usize = 4;

/// Where a materialised bind source stands in its tree.
pub(crate) const BIND_ROOT: &str = "data";

impl Contexts {
    /// Opens them; nothing is walked yet.
    pub(crate) fn open(contexts: &[LocalContext], store: &Store) -> Result<Self, ContextError> {
        let open = |context: &LocalContext| {
            let id = oci::Digest::sha256(context.dir.as_os_str().as_encoded_bytes()).hex();
            let opened = Context::open(&context.dir, context.rules.clone(), Some(&store.layout().stat_cache(&id)))?;
            Ok((context.name.clone(), Local::new(opened)))
        };
        let named = contexts.iter().map(open).collect::<Result<_, ContextError>>()?;
        Ok(Self { named, fetched: Mutex::default() })
    }

    /// One of them.
    pub(crate) fn get(&self, name: &str) -> Option<&Local> {
        self.named.get(name)
    }

    /// What was fetched under `key`, and lies in `tree`.
    pub(crate) fn fetched(&self, key: &str, tree: &Path, store: &Store) -> Result<Local, ContextError> {
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(local) = fetched.get(key) {
            return Ok(local.clone());
        }
        let local = Local::new(Context::open(tree, IgnoreRules::default(), Some(&store.layout().stat_cache(key)))?);
        fetched.insert(key.to_owned(), local.clone());
        Ok(local)
    }

    /// Writes their stat caches, where they changed.
    pub(crate) fn save(&self) -> Result<(), ContextError> {
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        self.named.values().chain(fetched.values()).try_for_each(|local| local.context.save().map(drop))
    }
}

/// Why a vertex has no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DefineError {
    /// A build context.
    #[error(transparent)]
    Context(#[from] FileError),
    /// A context that the request does not have.
    #[error("there is no build context named {0:?}")]
    NoContext(String),
}

/// The vertices that the roots need, and their definition keys.
pub(crate) struct Definitions {
    /// The roots' numbers, as the request lists them.
    pub(crate) roots: Vec<V>,
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
pub(crate) fn define(graph: &Graph, roots: &[Edge], contexts: &Contexts) -> Result<Definitions, (Edge, DefineError)> {
    let order = graph.reachable(roots);
    let mut numbers = vec![usize::MAX; graph.len()];
    for (number, edge) in order.iter().enumerate() {
        numbers[edge.index()] = number;
    }
    let roots = roots.iter().map(|root| numbers[root.index()]).collect();
    let inputs: Vec<Vec<V>> = order
        .iter()
        .map(|edge| graph.vertex(*edge).inputs().iter().map(|input| numbers[input.index()]).collect())
        .collect();
    let mut keyed: Vec<Keyed> = Vec::with_capacity(order.len());
    for (number, edge) in order.iter().enumerate() {
        let vertex = graph.vertex(*edge);
        let mut preimage = Preimage::definition();
        preimage.op(vertex.op());
        for (at, input) in vertex.inputs().iter().enumerate() {
            match graph.vertex(*input).op() {
                Op::Source(Source::Local { .. }) => {}
                Op::Source(Source::Image { manifest, platform, .. }) => {
                    preimage.line(&format!("base {at}"), &format!("{manifest} {platform}"))
                }
                Op::Source(Source::Scratch | Source::Http(_) | Source::Git(_))
                | Op::Exec(_)
                | Op::File(_)
                | Op::Merge(_) => {
                    preimage.line(&format!("input {at}"), &keyed[inputs[number][at]].key.digest().to_string());
                }
            }
        }
        for (at, selected) in selections(vertex) {
            if let Op::Source(Source::Local { name }) = graph.vertex(vertex.inputs()[selected.input]).op() {
                let digest = local(contexts, name, &selected).map_err(|error| (*edge, error))?;
                preimage.line(&format!("content {at}"), &digest.to_string());
            }
        }
        keyed.push(preimage.finish());
    }
    let mut usable: Vec<bool> = Vec::with_capacity(order.len());
    for (number, edge) in order.iter().enumerate() {
        let below = inputs[number].iter().all(|input| usable[*input]);
        usable.push(below && !graph.vertex(*edge).meta().ignore_cache);
    }
    Ok(Definitions { roots, order, inputs, keyed, usable })
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
                MountKind::Cache { .. }
                | MountKind::Tmpfs { .. }
                | MountKind::File { .. }
                | MountKind::Secret { .. }
                | MountKind::Ssh { .. } => None,
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

fn local(contexts: &Contexts, name: &str, copy: &Copy) -> Result<Digest, DefineError> {
    let context = contexts.get(name).ok_or_else(|| DefineError::NoContext(name.to_owned()))?;
    let selection = context.select(copy).map_err(FileError::from)?;
    Ok(selection.digest().map_err(FileError::from)?)
}

/// What a vertex selects from build contexts, for people: a line a file, or where there are many, a line a folder. No part of a
/// key, as the digests of the selections are; kept with the preimage, so that a later miss can name the file.
pub(crate) fn details(graph: &Graph, vertex: &Vertex, contexts: &Contexts) -> Result<String, ContextError> {
    let mut details = Preimage::empty();
    for (at, copy) in selections(vertex) {
        let Op::Source(Source::Local { name }) = graph.vertex(vertex.inputs()[copy.input]).op() else { continue };
        let Some(context) = contexts.get(name) else { continue };
        let selection = context.select(&copy)?;
        let files: Vec<(String, String)> = selection
            .entries()
            .iter()
            .enumerate()
            .map(|(number, selected)| {
                let content = selection.content(number).map_or_else(
                    || String::from_utf8_lossy(&selected.entry.link).into_owned(),
                    |digest| digest.short(),
                );
                (String::from_utf8_lossy(&selected.source).into_owned(), format!("{:o} {content}", selected.entry.mode))
            })
            .collect();
        for (path, value) in folded(&files) {
            details.line(&format!("file {at} {path}"), &value);
        }
    }
    Ok(details.into_text())
}

/// The files, if they are few; else their folders, as deep as keeps them few, with one digest each.
fn folded(files: &[(String, String)]) -> Vec<(String, String)> {
    if files.len() <= MAX_LINES {
        return files.to_vec();
    }
    let mut best = Vec::new();
    for depth in 1..=MAX_DEPTH {
        let mut folders: BTreeMap<String, Hasher> = BTreeMap::new();
        for (path, value) in files {
            let end = path.match_indices('/').nth(depth - 1).map_or(path.len(), |(at, _)| at + 1);
            let hasher = folders.entry(path[..end].to_owned()).or_insert_with(Hasher::sha256);
            hasher.update(format!("{path}\n{value}\n").as_bytes());
            if folders.len() > MAX_LINES {
                return best;
            }
        }
        best = folders.into_iter().map(|(folder, hasher)| (folder, format!("- {}", hasher.finish().short()))).collect();
    }
    best
}
