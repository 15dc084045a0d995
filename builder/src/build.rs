//! One build: what the solver asks for, done.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use graph::{Copy, Meta, Op, Source, Vertex};
use oci::Digest;
use store::{KeyLock, LayerId, Lease, Store};

use crate::cache::content::{Contexts, Definitions, details, selections};
use crate::cache::explain::{self, Step};
use crate::cache::key::{Chain, Keyed, Preimage};
use crate::cache::record::{Lookup, Records, slot};
use crate::layers::Layers;
use crate::op::{exec, file, merge, source};
use crate::solver::drive::Executor;
use crate::solver::state::{Event as Answer, V};
use crate::{Cancel, Error, Event, Request, Sandbox, VertexId};

/// How often a build that waits for another process looks whether it may go on.
const POLL: Duration = Duration::from_millis(15);

type Failure = Box<dyn StdError + Send + Sync>;

/// Everything that the vertices of a build share.
pub(crate) struct Build<'b> {
    pub(crate) request: &'b Request,
    pub(crate) store: &'b Store,
    pub(crate) sandbox: Option<&'b Sandbox>,
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
    definitions: &'b Definitions,
    /// Vertices whose layer must be a tree, since a RUN mounts it.
    trees: Vec<bool>,
    results: Vec<OnceLock<Chain>>,
    contents: Vec<OnceLock<Keyed>>,
    failures: Mutex<HashMap<V, Error>>,
    found: Mutex<(u32, u32)>,
    events: Mutex<Sender<Event>>,
}

/// What a build is made from.
pub(crate) struct Parts<'b> {
    pub(crate) request: &'b Request,
    pub(crate) store: &'b Store,
    pub(crate) sandbox: Option<&'b Sandbox>,
    pub(crate) records: &'b Records<'b>,
    pub(crate) contexts: &'b Contexts,
    pub(crate) definitions: &'b Definitions,
    pub(crate) lease: Lease,
    pub(crate) logs: PathBuf,
    pub(crate) events: Sender<Event>,
}

impl<'b> Build<'b> {
    pub(crate) fn new(parts: Parts<'b>) -> Self {
        let Parts { request, store, sandbox, records, contexts, definitions, lease, logs, events } = parts;
        let count = definitions.order.len();
        let mut build = Self {
            request,
            store,
            sandbox,
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

    /// Tells what happens.
    pub(crate) fn emit(&self, event: Event) {
        // A listener that went away misses nothing that counts.
        drop(self.events.lock().unwrap_or_else(PoisonError::into_inner).send(event));
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

    fn slot(&self, v: V) -> String {
        let main = self.request.contexts.iter().find(|context| context.name == "context");
        let project = main.map(|context| context.dir.display().to_string()).unwrap_or_default();
        slot(&project, self.vertex(v).meta())
    }

    /// Whether a vertex is something that people built, and not a source.
    fn counts(&self, v: V) -> bool {
        !matches!(self.vertex(v).op(), Op::Source(_))
    }

    fn done(&self, v: V, chain: Chain, cached: bool) {
        if self.counts(v) {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.0 += u32::from(cached);
            found.1 += 1;
        }
        // Only the one thread that works on a vertex sets its result.
        drop(self.results[v].set(chain));
    }

    fn fail(&self, v: V, failure: impl Into<Failure>) -> Answer {
        let failure = failure.into();
        let message = failure.to_string();
        let error = match failure.downcast::<exec::ExecError>() {
            Ok(error) if matches!(*error, exec::ExecError::Cancelled) => return Answer::Stopped(v),
            Ok(error) => vertex_error(self.vertex(v).meta(), error.exit_code(), error.log(), error),
            Err(error) => vertex_error(self.vertex(v).meta(), None, None, error),
        };
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).insert(v, error);
        self.emit(Event::Failed { vertex: id(v), time: millis_now(), message });
        Answer::Failed(v)
    }

    fn try_find(&self, v: V) -> Result<Answer, Failure> {
        let vertex = self.vertex(v);
        match vertex.op() {
            Op::Source(Source::Scratch | Source::Local { .. }) => {
                self.done(v, Chain::default(), true);
                return Ok(Answer::Found(v));
            }
            Op::Source(Source::Image { manifest, .. }) => {
                let chain = source::image::chain(self.store, self.records, Some(&self.lease), manifest, self.now)?;
                self.done(v, chain, true);
                self.emit(Event::Cached { vertex: id(v) });
                return Ok(Answer::Found(v));
            }
            Op::Source(Source::Http(_) | Source::Git(_)) | Op::Exec(_) | Op::File(_) | Op::Merge(_) => {}
        }
        let keyed = &self.definitions.keyed[v];
        let usable = self.definitions.usable[v];
        let lookup = if usable { self.records.find(keyed.key.digest(), Some(&self.lease))? } else { Lookup::Miss };
        match lookup {
            Lookup::Hit(chain) => {
                self.done(v, chain, true);
                self.emit(Event::Cached { vertex: id(v) });
                Ok(Answer::Found(v))
            }
            Lookup::Dead => {
                self.missed(v, "its earlier result was pruned, or lost with a crash".to_owned());
                Ok(Answer::Missing(v))
            }
            Lookup::Miss => {
                self.missed(v, self.why(v)?);
                Ok(Answer::Missing(v))
            }
        }
    }

    fn missed(&self, v: V, why: String) {
        if !why.is_empty() {
            self.emit(Event::Missed { vertex: id(v), why });
        }
    }

    /// Why a vertex was not found, in words; empty where nobody asked.
    fn why(&self, v: V) -> Result<String, Failure> {
        let vertex = self.vertex(v);
        if !self.request.options.explain {
            return Ok(String::new());
        }
        if vertex.meta().ignore_cache {
            return Ok("the cache is not asked (--no-cache)".to_owned());
        }
        if !self.definitions.usable[v] {
            return Ok("a step below it does not ask the cache".to_owned());
        }
        let Some(previous) = self.records.previous(&self.slot(v))? else {
            return Ok("first build of this step".to_owned());
        };
        let inputs: Vec<String> = self.inputs(v).iter().map(|input| self.vertex(*input).meta().name.clone()).collect();
        let env = &self.request.config.config.env;
        let is_env = |name: &str| env.iter().any(|entry| entry.split('=').next() == Some(name));
        let step = Step { inputs: &inputs, is_env: &is_env };
        Ok(explain::differences(&previous, &(self.definitions.keyed[v].preimage.clone() + &self.details(v)?), &step))
    }

    fn details(&self, v: V) -> Result<String, Failure> {
        Ok(details(&self.request.graph, self.vertex(v), self.contexts)?)
    }

    fn try_match(&self, v: V) -> Result<Answer, Failure> {
        let vertex = self.vertex(v);
        if let Op::Merge(_) = vertex.op() {
            let chains: Vec<&Chain> = self.inputs(v).iter().map(|input| self.chain(*input)).collect();
            let chain = merge::stack(&chains);
            self.records.put(&[&self.definitions.keyed[v]], &self.slot(v), "", &chain, self.now)?;
            self.done(v, chain, false);
            self.emit(Event::Done { vertex: id(v), time: millis_now() });
            return Ok(Answer::Found(v));
        }
        let keyed = self.content_key(v)?;
        let answer = if vertex.meta().ignore_cache { Lookup::Miss } else { self.records.find(keyed.key.digest(), Some(&self.lease))? };
        drop(self.contents[v].set(keyed));
        let Lookup::Hit(chain) = answer else { return Ok(Answer::Missing(v)) };
        self.keep(v, chain, true)?;
        self.emit(Event::Cached { vertex: id(v) });
        Ok(Answer::Found(v))
    }

    /// The key of what a vertex does with what its inputs turned out to be.
    fn content_key(&self, v: V) -> Result<Keyed, Failure> {
        let vertex = self.vertex(v);
        let mut preimage = Preimage::content();
        preimage.op(vertex.op());
        if let Some(first) = self.inputs(v).first() {
            preimage.line("input 0", &self.chain(*first).identity().to_string());
        }
        for (number, copy) in selections(vertex) {
            let digest = self.selection(v, &copy)?;
            preimage.line(&format!("content {number}"), &digest.to_string());
        }
        Ok(preimage.finish())
    }

    fn selection(&self, v: V, copy: &Copy) -> Result<Digest, Failure> {
        match self.input(v, copy.input)? {
            file::Input::Context(context) => Ok(context.select(copy)?.digest()?),
            file::Input::View(view) => {
                let selection = file::select::select(&view, copy)?;
                Ok(file::select::digest(&view, &selection, copy.keep_owner)?)
            }
        }
    }

    /// An input as something to copy from.
    pub(crate) fn input(&self, v: V, at: usize) -> Result<file::Input, Failure> {
        let number = self.inputs(v)[at];
        if let Op::Source(Source::Local { name }) = self.vertex(number).op() {
            let context = self.contexts.get(name).ok_or_else(|| format!("there is no build context named {name:?}"))?;
            return Ok(file::Input::Context(context.clone()));
        }
        Ok(file::Input::View(std::sync::Arc::new(self.layers.view(self.chain(number))?)))
    }

    /// Keeps a result under both its keys.
    fn keep(&self, v: V, chain: Chain, cached: bool) -> Result<(), Failure> {
        let mut keys = vec![&self.definitions.keyed[v]];
        keys.extend(self.contents[v].get());
        self.records.put(&keys, &self.slot(v), &self.details(v)?, &chain, self.now)?;
        self.done(v, chain, cached);
        Ok(())
    }

    fn try_run(&self, v: V) -> Result<Answer, Failure> {
        let vertex = self.vertex(v);
        let Some(lock) = self.lock(v)? else { return Ok(Answer::Stopped(v)) };
        if !vertex.meta().ignore_cache
            && let Some(keyed) = self.contents[v].get()
            && let Lookup::Hit(chain) = self.records.find(keyed.key.digest(), Some(&self.lease))?
        {
            // Another process made it while we waited.
            self.keep(v, chain, true)?;
            self.emit(Event::Cached { vertex: id(v) });
            return Ok(Answer::Finished(v));
        }
        self.emit(Event::Started { vertex: id(v), time: millis_now() });
        let made = self.execute(v)?;
        let base = self.inputs(v).first().map(|first| self.chain(*first).clone()).unwrap_or_default();
        self.keep(v, base.with(made.unwrap_or_else(Chain::empty_layer)), false)?;
        drop(lock);
        self.emit(Event::Done { vertex: id(v), time: millis_now() });
        Ok(Answer::Finished(v))
    }

    /// Waits until no other process runs the same thing; `None` when the build is stopped meanwhile.
    fn lock(&self, v: V) -> Result<Option<KeyLock>, Failure> {
        let keyed = self.contents[v].get().unwrap_or(&self.definitions.keyed[v]);
        let name = keyed.key.file_name();
        let mut told = false;
        loop {
            if self.stop.is_cancelled() {
                return Ok(None);
            }
            if let Some(lock) = self.store.try_lock_key(&name)? {
                return Ok(Some(lock));
            }
            if !std::mem::replace(&mut told, true) {
                self.emit(Event::Waiting { vertex: id(v) });
            }
            std::thread::sleep(POLL);
        }
    }

    fn execute(&self, v: V) -> Result<Option<LayerId>, Failure> {
        match self.vertex(v).op() {
            Op::Exec(operation) => Ok(exec::run(self, v, operation)?),
            Op::File(operation) => file::result::run(self, v, operation),
            Op::Source(Source::Http(http)) => Err(format!("cannot fetch {}: this version has no http sources; download the file into the build context and COPY it", http.url).into()),
            Op::Source(Source::Git(git)) => Err(format!("cannot fetch {}: this version has no git sources; clone it, and pass it as a named build context", git.url).into()),
            // These were found.
            Op::Source(Source::Scratch | Source::Local { .. } | Source::Image { .. }) | Op::Merge(_) => Ok(None),
        }
    }
}

impl Executor for Build<'_> {
    fn find(&self, v: V) -> Answer {
        self.try_find(v).unwrap_or_else(|error| self.fail(v, error))
    }

    fn match_content(&self, v: V) -> Answer {
        self.try_match(v).unwrap_or_else(|error| self.fail(v, error))
    }

    fn run(&self, v: V) -> Answer {
        match self.try_run(v) {
            Ok(answer) => answer,
            Err(_) if self.stop.is_cancelled() => Answer::Stopped(v),
            Err(error) => self.fail(v, error),
        }
    }

    fn stop(&self) {
        self.stop.cancel();
    }

    fn give_up(&self, v: V) {
        self.emit(Event::Cancelled { vertex: id(v) });
    }
}

/// A vertex's error with all that a message needs.
pub(crate) fn vertex_error(meta: &Meta, exit_code: Option<i32>, log: Option<exec::StepLog>, source: impl Into<Failure>) -> Error {
    let (log_tail, log) = log.map_or((Vec::new(), None), |log| (log.tail, Some(log.path)));
    Error::Vertex { name: meta.name.clone(), location: meta.location.clone(), exit_code, log_tail, log, source: source.into() }
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
