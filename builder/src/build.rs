//! One build: what the solver asks for, done.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use graph::{Meta, Op, Vertex};
use oci::Digest;
use store::{LayerId, Lease, Store};
use tokio::runtime::Runtime;

use crate::cache::content::{Contexts, Definitions};
use crate::cache::key::{Chain, Keyed};
use crate::cache::record::{Records, slot};
use crate::layers::Layers;
use crate::op::exec;
use crate::op::source::pulled;
use crate::solver::state::V;
use crate::{Cancel, Error, Event, Request, Sandbox, VertexId};

/// Whatever a vertex fails with.
pub(crate) type Failure = Box<dyn StdError + Send + Sync>;

/// Everything that the vertices of a build share.
pub(crate) struct Build<'b> {
    pub(crate) request: &'b Request,
    pub(crate) store: &'b Store,
    pub(crate) sandbox: Option<&'b Sandbox>,
    /// Fetches layers that are not in the store.
    pub(crate) client: Option<&'b remote::Client>,
    pub(crate) records: &'b Records<'b>,
    pub(crate) layers: Layers<'b>,
    pub(crate) contexts: &'b Contexts,
    pub(crate) lease: Lease,
    /// The build's folder of logs.
    pub(crate) logs: PathBuf,
    /// Seconds since 1970 at the start.
    pub(crate) now: i64,
    /// Thrown when the build is cancelled, and when a vertex fails.
    pub(crate) stop: Cancel,
    pub(crate) definitions: &'b Definitions,
    /// Vertices whose layer must be a tree, since a RUN mounts it.
    trees: Vec<bool>,
    results: Vec<OnceLock<Chain>>,
    /// Content keys, of vertices whose inputs are done.
    pub(crate) contents: Vec<OnceLock<Keyed>>,
    /// Why vertices failed.
    pub(crate) failures: Mutex<HashMap<V, Error>>,
    found: Mutex<(u32, u32)>,
    /// Why nothing of this counts: see [`Self::lose`].
    lost: Mutex<Option<String>>,
    /// Where cache mounts come from.
    pub(crate) travelling: crate::mount::Travelling,
    /// Layers that were pulled.
    fresh: Mutex<Vec<LayerId>>,
    /// For the connections of `client`, made when it is needed.
    runtime: OnceLock<Runtime>,
    /// Where control groups of RUNs are made, once it was looked for.
    pub(crate) cgroup: OnceLock<Option<runtime::cgroup::Place>>,
    events: Mutex<Sender<Event>>,
}

/// What a build is made from.
pub(crate) struct Parts<'b> {
    pub(crate) request: &'b Request,
    pub(crate) store: &'b Store,
    pub(crate) sandbox: Option<&'b Sandbox>,
    pub(crate) client: Option<&'b remote::Client>,
    pub(crate) records: &'b Records<'b>,
    pub(crate) contexts: &'b Contexts,
    pub(crate) definitions: &'b Definitions,
    pub(crate) lease: Lease,
    pub(crate) logs: PathBuf,
    pub(crate) events: Sender<Event>,
}

impl<'b> Build<'b> {
    pub(crate) fn new(parts: Parts<'b>) -> Self {
        let Parts { request, store, sandbox, client, records, contexts, definitions, lease, logs, events } = parts;
        let count = definitions.order.len();
        let mut build = Self {
            request,
            store,
            sandbox,
            client,
            records,
            layers: Layers::new(store, records, sandbox.map(|sandbox| &sandbox.probe.rung)),
            contexts,
            lease,
            logs,
            now: unix_now(),
            stop: Cancel::new(),
            definitions,
            trees: vec![false; count],
            results: std::iter::repeat_with(OnceLock::new).take(count).collect(),
            contents: std::iter::repeat_with(OnceLock::new).take(count).collect(),
            failures: Mutex::default(),
            found: Mutex::default(),
            lost: Mutex::default(),
            travelling: crate::mount::Travelling::default(),
            fresh: Mutex::default(),
            runtime: OnceLock::new(),
            cgroup: OnceLock::new(),
            events: Mutex::new(events),
        };
        build.mark_trees();
        build
    }

    /// Finds the vertices that RUNs mount: their own file systems and what they bind, with all that these stand on.
    fn mark_trees(&mut self) {
        for v in (0..self.trees.len()).rev() {
            let inputs = &self.definitions.inputs[v];
            let vertex = self.vertex(v);
            let mounted: Vec<V> = match vertex.op() {
                Op::Exec(_) => inputs.clone(),
                Op::File(_) if self.trees[v] => inputs.first().copied().into_iter().collect(),
                Op::Merge(_) if self.trees[v] => inputs.clone(),
                Op::File(_) | Op::Merge(_) | Op::Source(_) => Vec::new(),
            };
            for input in mounted {
                self.trees[input] = true;
            }
        }
    }

    pub(crate) fn vertex(&self, v: V) -> &'b Vertex {
        self.request.graph.vertex(self.definitions.order[v])
    }

    pub(crate) fn inputs(&self, v: V) -> &[V] {
        &self.definitions.inputs[v]
    }

    pub(crate) fn needs_tree(&self, v: V) -> bool {
        self.trees[v]
    }

    /// The result of a vertex that is done.
    pub(crate) fn chain(&self, v: V) -> &Chain {
        static EMPTY: Chain = Chain(Vec::new());
        self.results[v].get().unwrap_or(&EMPTY)
    }

    /// The result of a vertex, if it has one: what stands below a result that was found is never looked at.
    pub(crate) fn result(&self, v: V) -> Option<&Chain> {
        self.results[v].get()
    }

    /// Tells what happens.
    pub(crate) fn emit(&self, event: Event) {
        // A listener that went away misses nothing that counts.
        drop(self.events.lock().unwrap_or_else(PoisonError::into_inner).send(event));
    }

    /// The listener's end, for those who speak from threads of their own.
    pub(crate) fn events(&self) -> Sender<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where connections of this build live.
    pub(crate) fn runtime(&self) -> std::io::Result<&Runtime> {
        if self.runtime.get().is_none() {
            // Of two that are made at once, one is dropped before anything ran in it.
            drop(self.runtime.set(pulled::runtime()?));
        }
        self.runtime.get().ok_or_else(|| std::io::Error::other("no runtime"))
    }

    /// Remembers layers that were pulled now.
    pub(crate) fn add_fresh(&self, ids: Vec<LayerId>) {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }

    /// The layers that were pulled.
    pub(crate) fn fresh(&self) -> Vec<LayerId> {
        std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers that a result which was found cannot be had.
    pub(crate) fn lose(&self, lost: &pulled::Lost) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| lost.to_string());
    }

    /// Why the build must begin anew, if it must.
    pub(crate) fn lost(&self) -> Option<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes a failed vertex's error.
    pub(crate) fn take_failure(&self, v: V) -> Option<Error> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&v)
    }

    /// How many vertices were found, of how many.
    pub(crate) fn found(&self) -> (u32, u32) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks what was found as used.
    pub(crate) fn touch(&self) -> store::Result<()> {
        let done = (0..self.results.len()).filter(|v| self.counts(*v) && self.results[*v].get().is_some());
        let keys: Vec<Digest> = done.map(|v| *self.definitions.keyed[v].key.digest()).collect();
        Ok(self.store.index().touch(&keys, self.now)?)
    }

    /// The step's name across builds.
    pub(crate) fn slot(&self, v: V) -> String {
        let main = self.request.contexts.iter().find(|context| context.name == "context");
        let project = main.map(|context| context.dir.display().to_string()).unwrap_or_default();
        slot(&project, self.vertex(v).meta())
    }

    /// Whether a vertex is something that people built, and not a source.
    fn counts(&self, v: V) -> bool {
        !matches!(self.vertex(v).op(), Op::Source(_))
    }

    /// Takes a vertex's result.
    pub(crate) fn done(&self, v: V, chain: Chain, cached: bool) {
        if self.counts(v) {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.0 += u32::from(cached);
            found.1 += 1;
        }
        // Only the one thread that works on a vertex sets its result.
        drop(self.results[v].set(chain));
    }
}

/// A vertex's error with all that a message needs.
pub(crate) fn vertex_error(
    meta: &Meta,
    exit_code: Option<i32>,
    log: Option<exec::StepLog>,
    source: impl Into<Failure>,
) -> Error {
    let (log_tail, log) = log.map_or((Vec::new(), None), |log| (log.tail, Some(log.path)));
    Error::Vertex {
        name: meta.name.clone(),
        location: meta.location.clone(),
        exit_code,
        log_tail,
        log,
        source: source.into(),
    }
}

/// A vertex's id in events.
pub(crate) fn id(v: V) -> VertexId {
    VertexId(u32::try_from(v).unwrap_or(u32::MAX))
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> i64 {
    millis_now() / 1000
}

/// Milliseconds since 1970.
pub(crate) fn millis_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
