//! The layers of a base that are not in the store, pulled when something must run on top of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use oci::Digest;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::image;
use crate::build::{Build, Failure, id, millis_now};
use crate::cache::key::Chain;
use crate::op::exec::ExecError;
use crate::solver::state::V;
use crate::transfer::pull;
use crate::transfer::{Event as Transfer, Sink, Step};
use crate::{Event, VertexId};

/// Threads that move bytes: hashing and unpacking have their own.
const THREADS: usize = 2;

/// Pulls what an image lacks, and gives its layers to the vertex.
pub(crate) fn run(build: &Build<'_>, v: V, manifest: &Digest) -> Result<(), Failure> {
    build.emit(Event::Started { vertex: id(v), time: millis_now() });
    let client =
        build.client.ok_or("a layer of the base is not in the store, and this build has no registry client")?;
    // The build's own store stays with its threads.
    let store = Arc::new(build.store.again()?);
    let probe = build.sandbox.map(|sandbox| &sandbox.probe);
    let sink = progress(build, Some(id(v)));
    let stopped = Arc::new(Notify::new());
    let waker = stopped.clone();
    let _guard = build.stop.on_cancel(move || waker.notify_one());
    let fresh = build.runtime()?.block_on(async {
        tokio::select! {
            fresh = pull::complete(&store, client, manifest, probe, &sink) => fresh.map_err(Failure::from),
            () = stopped.notified() => Err(ExecError::Cancelled.into()),
        }
    })?;
    build.add_fresh(fresh);
    let chain = image::chain(build.store, build.records, Some(&build.lease), manifest, build.now)?;
    build.done(v, chain, false);
    build.emit(Event::Done { vertex: id(v), time: millis_now() });
    Ok(())
}

impl Build<'_> {
    /// Fetches what a chain has elsewhere only, for the vertex that is about to read it. Of a layer that is nowhere, or is
    /// something else than was said, all results are forgotten, and [`Lost`] is the answer: the build begins anew, and runs what
    /// it cannot find.
    pub(crate) fn bring(&self, v: Option<V>, chain: &Chain) -> Result<(), Failure> {
        let mut lazy = Vec::new();
        let mut complete = true;
        for layer in chain.layers() {
            let row = self.layers.known(layer)?;
            let Some((diff_id, size)) = self.store.index().diff_id(layer, None)? else {
                // Made here, and never named by an image: nothing below it is elsewhere that was not fetched for it.
                continue;
            };
            let mut cache = None;
            if row.is_elsewhere() {
                complete = false;
                cache = self.records.caches().backend(&diff_id);
            }
            lazy.push(pull::Lazy { diff_id, size, cache });
        }
        if complete {
            return Ok(());
        }
        let store = Arc::new(self.store.again()?);
        let probe = self.sandbox.map(|sandbox| &sandbox.probe);
        let sink = progress(self, v.map(id));
        let stopped = Arc::new(Notify::new());
        let waker = stopped.clone();
        let _guard = self.stop.on_cancel(move || waker.notify_one());
        let brought = self.runtime()?.block_on(async {
            tokio::select! {
                fresh = pull::bring(&store, self.client, lazy, probe, &sink) => Some(fresh),
                () = stopped.notified() => None,
            }
        });
        match brought {
            None => Err(ExecError::Cancelled.into()),
            Some(Ok(fresh)) => {
                self.add_fresh(fresh);
                Ok(())
            }
            Some(Err(pull::Failed { layer: Some(diff_id), error })) if self.is_lie(&error) => {
                self.records.distrust(&diff_id)?;
                Err(Lost(error.to_string()).into())
            }
            Some(Err(failed)) => Err(failed.error.into()),
        }
    }

    /// Without a client nobody was asked who may have a layer.
    fn is_lie(&self, error: &pull::PullError) -> bool {
        error.is_lie() && (self.client.is_some() || !matches!(error, pull::PullError::NoOrigin { .. }))
    }
}

/// Layers of a result that was found cannot be had: nothing of it counts.
#[derive(Debug, thiserror::Error)]
#[error("a cache does not give what it promises: {0}")]
pub(crate) struct Lost(pub(crate) String);

/// Whether an image only lacks layers that may be pulled.
pub(crate) fn is_incomplete(error: &Failure) -> bool {
    matches!(error.downcast_ref::<image::ImageError>(), Some(image::ImageError::Layer { .. }))
}

/// A runtime for the connections of one build.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).thread_name("pull").enable_all().build()
}

/// Events of a transfer as progress of a vertex: bytes of all layers together, and a line for what is out of the ordinary.
pub(crate) fn progress(build: &Build<'_>, vertex: Option<VertexId>) -> Sink {
    let events = build.events();
    let layers: Mutex<HashMap<u32, (u64, u64)>> = Mutex::default();
    Arc::new(move |event| {
        let mut layers = layers.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Transfer::Items { items } => {
                layers.extend(items.iter().map(|item| (item.number, (0, item.size.unwrap_or(0)))));
            }
            Transfer::Item { number, step } => {
                let Some((done, size)) = layers.get_mut(&number) else { return };
                match step {
                    Step::Moved { done: now, .. } => *done = now,
                    Step::Exists | Step::Done { .. } | Step::Mounted { .. } => *done = *size,
                    Step::Waiting => {
                        if let Some(vertex) = vertex {
                            let _ = events.send(Event::Waiting { vertex });
                        }
                    }
                    Step::Retried { why } => {
                        let _ = events.send(Event::Note { message: format!("tried again: {why}") });
                    }
                    Step::Resumed { .. } => {}
                }
            }
            Transfer::Note { message } => {
                let _ = events.send(Event::Note { message });
            }
            Transfer::Begun { .. } | Transfer::Finished { .. } => return,
        }
        let sum = |of: fn(&(u64, u64)) -> u64| layers.values().map(of).sum();
        let (done, total) = (sum(|layer| layer.0), sum(|layer| layer.1));
        // A listener that went away misses nothing that counts.
        let _ = events.send(Event::Progress { vertex, unit: "bytes".to_owned(), done, total });
    })
}
