//! The steps of a vertex: found by definition, matched by content, run.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use graph::{Copy, Op, Source};
use oci::Digest;
use store::{KeyLock, LayerId};

use crate::build::{Build, Failure, id, millis_now, vertex_error};
use crate::cache::content::{Local, details, selections};
use crate::cache::explain::{self, Step};
use crate::cache::key::{Chain, Keyed, Preimage};
use crate::cache::record::Lookup;
use crate::op::{exec, file, merge, source};
use crate::solver::drive::Executor;
use crate::solver::state::{Event as Answer, V};
use crate::{Event, foreign};

/// How often a build that waits for another process looks whether it may go on.
const POLL: Duration = Duration::from_millis(15);

impl Build<'_> {
    fn fail(&self, v: V, failure: impl Into<Failure>) -> Answer {
        let failure = failure.into();
        if let Some(lost) = failure.downcast_ref::<source::pulled::Lost>() {
            // The build begins anew: see `whole::solve`.
            self.lose(lost);
            return Answer::Failed(v);
        }
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
                let chain = source::image::chain(self.store, self.records, Some(&self.lease), manifest, self.now);
                let chain = match chain.map_err(Failure::from) {
                    Err(error) if self.client.is_some() && source::pulled::is_incomplete(&error) => {
                        return Ok(Answer::Missing(v));
                    }
                    other => other?,
                };
                self.done(v, chain, true);
                self.emit(Event::Cached { vertex: id(v) });
                return Ok(Answer::Found(v));
            }
            Op::Source(source @ (Source::Http(_) | Source::Git(_))) => {
                self.lease.pin(source::key(source).as_slice())?;
                self.fetched(source)?;
                self.done(v, Chain::default(), true);
                self.emit(Event::Cached { vertex: id(v) });
                return Ok(Answer::Found(v));
            }
            Op::Exec(_) | Op::File(_) | Op::Merge(_) => {}
        }
        let keyed = &self.definitions.keyed[v];
        let usable = self.definitions.usable[v];
        let lookup = if usable { self.records.find(keyed, Some(&self.lease))? } else { Lookup::Miss };
        match lookup {
            Lookup::Hit(chain) => {
                self.done(v, chain, true);
                self.tell_writer(v, keyed)?;
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

    /// Says who wrote a result that was found, if that was not this store; where somebody asked for explanations.
    fn tell_writer(&self, v: V, keyed: &Keyed) -> Result<(), Failure> {
        if self.request.options.telling.explain
            && let Some(writer) = self.records.writer(keyed.key.digest())?
        {
            let message = format!("{}: found in {writer}", self.vertex(v).meta().name);
            self.emit(Event::Note { message });
        }
        Ok(())
    }

    /// Looks a result up by content: in the store, then in other caches under the key that all stores share.
    fn find_content(&self, v: V, keyed: &Keyed) -> Result<Lookup, Failure> {
        let here = self.records.find(keyed, Some(&self.lease))?;
        if matches!(here, Lookup::Hit(_)) || self.records.caches().is_empty() {
            return Ok(here);
        }
        let Some(shared) = self.shared(v, keyed)? else { return Ok(here) };
        let there = self.records.elsewhere(&shared, Some(&self.lease))?;
        if let Lookup::Hit(_) = &there {
            self.tell_writer(v, &shared)?;
            return Ok(there);
        }
        Ok(here)
    }

    /// A content key as all stores share it; `None` where the DiffId of a layer below was never computed.
    fn shared(&self, v: V, keyed: &Keyed) -> Result<Option<Keyed>, Failure> {
        match self.inputs(v).first() {
            Some(first) => self.shared_on(self.chain(*first), keyed),
            None => Ok(Some(keyed.shared(None))),
        }
    }

    /// As [`Self::shared`], of a step that stands on a chain.
    pub(crate) fn shared_on(&self, below: &Chain, keyed: &Keyed) -> Result<Option<Keyed>, Failure> {
        let mut diff_ids = Vec::new();
        for layer in below.layers() {
            match self.store.index().diff_id(layer, None)? {
                Some((diff_id, _)) => diff_ids.push(diff_id),
                None => return Ok(None),
            }
        }
        Ok(Some(keyed.shared(Some(&diff_ids))))
    }

    fn missed(&self, v: V, why: String) {
        if !why.is_empty() {
            self.emit(Event::Missed { vertex: id(v), why });
        }
    }

    /// Why a vertex was not found, in words; empty where nobody asked.
    fn why(&self, v: V) -> Result<String, Failure> {
        let vertex = self.vertex(v);
        if !self.request.options.telling.explain {
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
        let is_env = |name: &str| {
            let mut env = self.request.images.iter().flat_map(|image| &image.config.config.env);
            env.any(|entry| entry.split('=').next() == Some(name))
        };
        let step = Step { inputs: &inputs, is_env: &is_env };
        Ok(explain::differences(&previous, &(self.definitions.keyed[v].preimage.clone() + &self.details(v)?), &step))
    }

    fn details(&self, v: V) -> Result<String, Failure> {
        Ok(details(&self.request.graph, self.vertex(v), self.contexts)?)
    }

    fn try_match(&self, v: V) -> Result<Answer, Failure> {
        let vertex = self.vertex(v);
        if let Op::Source(Source::Image { .. }) = vertex.op() {
            // It was looked for already.
            return Ok(Answer::Missing(v));
        }
        if let Op::Merge(_) = vertex.op() {
            let chains: Vec<&Chain> = self.inputs(v).iter().map(|input| self.chain(*input)).collect();
            let chain = merge::stack(&chains);
            self.records.put(&[&self.definitions.keyed[v]], &self.slot(v), "", &chain, self.now)?;
            self.done(v, chain, false);
            self.emit(Event::Done { vertex: id(v), time: millis_now() });
            return Ok(Answer::Found(v));
        }
        let keyed = self.content_key(v)?;
        let answer = if vertex.meta().ignore_cache { Lookup::Miss } else { self.find_content(v, &keyed)? };
        drop(self.contents[v].set(keyed));
        let Lookup::Hit(chain) = answer else { return Ok(Answer::Missing(v)) };
        self.keep(v, self.on_base(v, chain.0.last().cloned()), true)?;
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
        if let Op::Source(source @ (Source::Http(_) | Source::Git(_))) = self.vertex(number).op() {
            return Ok(file::Input::Context(self.fetched(source)?));
        }
        self.bring(Some(v), self.chain(number))?;
        Ok(file::Input::View(Arc::new(self.layers.view(self.chain(number))?)))
    }

    /// What was fetched for a source before the build began.
    fn fetched(&self, source: &Source) -> Result<Local, Failure> {
        let key = source::key(source).unwrap_or_default();
        let missing = || format!("{} is no longer in the store: something collected it; build again", shown(source));
        let tree = self.store.fetched(&key)?.ok_or_else(missing)?;
        Ok(self.contexts.fetched(&key, &tree, self.store)?)
    }

    /// What a step made, on what it stands on here. A result that was found by content may stand on more or fewer steps that
    /// changed nothing: only its last layer is the step's.
    fn on_base(&self, v: V, made: Option<LayerId>) -> Chain {
        let base = self.inputs(v).first().map(|first| self.chain(*first).clone()).unwrap_or_default();
        base.with(made.unwrap_or_else(Chain::empty_layer))
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
        if let Op::Source(Source::Image { manifest, .. }) = vertex.op() {
            // Its layers have locks of their own.
            source::pulled::run(self, v, manifest)?;
            return Ok(Answer::Finished(v));
        }
        let Some(lock) = self.lock(v)? else { return Ok(Answer::Stopped(v)) };
        if !vertex.meta().ignore_cache
            && let Some(keyed) = self.contents[v].get()
            && let Lookup::Hit(chain) = self.records.find(keyed, Some(&self.lease))?
        {
            // Another process made it while we waited.
            self.keep(v, self.on_base(v, chain.0.last().cloned()), true)?;
            self.emit(Event::Cached { vertex: id(v) });
            return Ok(Answer::Finished(v));
        }
        self.emit(Event::Started { vertex: id(v), time: millis_now() });
        let made = self.execute(v)?;
        self.keep(v, self.on_base(v, made), false)?;
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
            Op::Exec(operation) => {
                if let Some(missing) = foreign::refused(self, v) {
                    return Err(missing.into());
                }
                for input in self.inputs(v) {
                    self.bring(Some(v), self.chain(*input))?;
                }
                Ok(exec::run(self, v, operation)?)
            }
            Op::File(operation) => file::result::run(self, v, operation),
            // These were found, fetched before, or pulled.
            Op::Source(_) | Op::Merge(_) => Ok(None),
        }
    }
}

/// Where something was fetched, for people.
fn shown(source: &Source) -> &str {
    match source {
        Source::Http(http) => &http.url,
        Source::Git(git) => &git.url,
        Source::Scratch | Source::Image { .. } | Source::Local { .. } => "",
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
