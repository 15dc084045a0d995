//! The build that has something to do: solve, then export.

use std::path::Path;
use std::sync::mpsc::Sender;

use store::Store;

use crate::attest;
use crate::build::{Build, Failure, Parts, id, millis_now, unix_now};
use crate::cache::key::Chain;
use crate::cache::record::Records;
use crate::cache::{self, content::Definitions};
use crate::export::image::{self, Composed};
use crate::export::images::Images;
use crate::op::source::pulled::Lost;
use crate::solver::drive::drive;
use crate::solver::state::{Outcome, State, V};
use crate::{Built, Cancel, Error, Event, Image, Kind, Output, Request, Sandbox, VertexInfo, fast, foreign};

/// Operations side by side where the request does not say: most wait for the disk or the network.
const MIN_JOBS: usize = 8;

/// A build begins anew so often because a cache did not give what it promises; each time it believes one layer less.
const MOST_LIES: u32 = 64;

/// See [`crate::run`].
pub(crate) fn run(
    request: &Request,
    store: &Store,
    sandbox: Option<&Sandbox>,
    client: Option<&remote::Client>,
    events: Sender<Event>,
    cancel: &Cancel,
) -> Result<Built, Error> {
    let contexts = fast::contexts(request, store)?;
    let definitions = fast::definitions(request, &contexts)?;
    contexts.save().map_err(|error| Error::other("write the stat cache", error))?;
    let records = Records::of_build(store, request).map_err(|error| Error::other("open the cache", error))?;
    let build_id = request
        .options
        .telling
        .build_id
        .clone()
        .unwrap_or_else(|| format!("{:x}-{}", millis_now(), std::process::id()));
    let logs = store.layout().logs().join(&build_id);
    let plan = Event::Plan { build: build_id, vertices: infos(request, &definitions) };
    describe(&logs, &plan).map_err(|error| Error::other("write the build's description", error))?;
    // A listener that went away misses nothing that counts.
    drop(events.send(plan));
    for attempt in 0.. {
        let lease = store.lease().map_err(|error| Error::other("take a lease", error))?;
        pin_contexts(request, store, &lease).map_err(|error| Error::other("pin the build context", error))?;
        let (records, contexts, definitions) = (&records, &contexts, &definitions);
        let (logs, events) = (logs.clone(), events.clone());
        let parts = Parts { request, store, sandbox, client, records, contexts, definitions, lease, logs, events };
        let build = Build::new(parts);
        let ended = solve(&build, cancel);
        contexts.save().map_err(|error| Error::other("write the stat cache", error))?;
        match build.lost() {
            Some(why) if attempt < MOST_LIES && !cancel.is_cancelled() => {
                build.emit(Event::Note { message: format!("{why}; what needs it is built") });
            }
            Some(why) => return Err(Error::other("take results from caches", why)),
            None => return ended,
        }
    }
    Err(Error::Cancelled)
}

/// Solves and exports, once.
fn solve(build: &Build<'_>, cancel: &Cancel) -> Result<Built, Error> {
    foreign::check(build)?;
    let stop = build.stop.clone();
    let _guard = cancel.on_cancel(move || stop.cancel());
    let jobs = build.request.options.jobs.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(MIN_JOBS, |cores| (cores.get() * 2).max(MIN_JOBS))
    });
    let state = State::new(build.definitions.inputs.clone(), &build.definitions.roots, jobs);
    let outcome = drive(state, build, cancel).map_err(|error| Error::other("start the solver", error))?;
    match outcome {
        Outcome::Built => export(build, cancel).inspect_err(|error| {
            if let Error::Export(error) = error
                && let Some(lost) = error.downcast_ref::<Lost>()
            {
                build.lose(lost);
            }
        }),
        Outcome::Cancelled => Err(Error::Cancelled),
        Outcome::Failed(v) => Err(build.take_failure(v).unwrap_or(Error::Cancelled)),
    }
}

/// Contexts that were fetched are the store's, and stay while they are read.
fn pin_contexts(request: &Request, store: &Store, lease: &store::Lease) -> store::Result<()> {
    let home = store.layout().contexts();
    let name = |context: &crate::LocalContext| {
        let below = context.dir.strip_prefix(&home).ok()?;
        Some(below.components().next()?.as_os_str().to_string_lossy().into_owned())
    };
    let names: Vec<String> = request.contexts.iter().filter_map(name).collect();
    if names.is_empty() { Ok(()) } else { lease.pin(&names) }
}

/// Writes which step has which log beside the logs.
fn describe(logs: &Path, plan: &Event) -> std::io::Result<()> {
    std::fs::create_dir_all(logs)?;
    std::fs::write(logs.join("build.json"), serde_json::to_vec(plan)?)
}

fn infos(request: &Request, definitions: &Definitions) -> Vec<VertexInfo> {
    let info = |(number, edge): (usize, &graph::Edge)| {
        let vertex = request.graph.vertex(*edge);
        VertexInfo {
            vertex: id(number),
            digest: *vertex.digest().digest(),
            name: vertex.meta().name.clone(),
            stage: vertex.meta().stage.clone(),
            location: vertex.meta().location.clone(),
            inputs: definitions.inputs[number].iter().map(|input| id(*input)).collect(),
            kind: Kind::of(vertex.op()),
        }
    };
    definitions.order.iter().enumerate().map(info).collect()
}

/// Writes the outputs: the image first, since the others read it from the store.
fn export(build: &Build<'_>, cancel: &Cancel) -> Result<Built, Error> {
    let request = build.request;
    let failed = |error| Error::Export(error);
    let chains: Vec<&Chain> = build.definitions.roots.iter().map(|root| build.chain(*root)).collect();
    let mut built =
        Built { images: Vec::new(), index: None, tags: Vec::new(), cached: build.found(), fresh: build.fresh() };
    let needs_image = request
        .outputs
        .iter()
        .any(|output| matches!(output, Output::Image | Output::Oci { .. } | Output::Docker { .. }));
    if needs_image {
        let named = request.outputs.contains(&Output::Image);
        let tags: &[String] = if named { &request.tags } else { &[] };
        build.emit(Event::Exporting {
            what: tags.first().map_or_else(|| "image".to_owned(), |tag| format!("image {tag}")),
        });
        let composed: Result<_, _> = request
            .images
            .iter()
            .zip(&build.definitions.roots)
            .map(|(image, root)| composed(build, image, *root))
            .collect();
        let composed: Vec<Composed> = composed.map_err(failed)?;
        if request.options.attesting.sbom {
            // It reads every layer.
            chains.iter().try_for_each(|chain| build.bring(None, chain)).map_err(failed)?;
        }
        let attested = attest::attest(build, &chains, &composed).map_err(failed)?;
        let images = Images::new(request, composed, attested).map_err(failed)?;
        if !images.are_committed(build.store, tags).map_err(failed)? {
            images.commit(build.store, tags, &build.lease, unix_now()).map_err(failed)?;
        }
        (built.images, built.index, built.tags) = (images.built(), images.index(), tags.to_vec());
    }
    for output in &request.outputs {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if !matches!(output, Output::Image | Output::CacheOnly) {
            // They read every layer.
            chains.iter().try_for_each(|chain| build.bring(None, chain)).map_err(failed)?;
        }
        crate::export::write(build, &chains, output, built.manifest()).map_err(failed)?;
    }
    cache::export::export(build).map_err(failed)?;
    build.touch().map_err(|error| Error::other("touch the cache", error))?;
    build.emit(Event::Built { manifest: built.manifest().map(|named| named.digest), time: millis_now() });
    Ok(built)
}

fn composed(build: &Build<'_>, image: &Image, root: V) -> Result<Composed, Failure> {
    let (options, chain) = (&build.request.options, build.chain(root));
    let inline = cache::export::inline(build.request, build.definitions, root, chain.0.len());
    let compose = || image::compose(image, options, build.store, &build.layers, chain, &inline);
    if is_homeless(build, chain)? {
        build.bring(None, chain)?;
    }
    if let Some(composed) = compose()? {
        return Ok(composed);
    }
    build.bring(None, chain)?;
    image::complete(image, options, build.store, &build.layers, chain, build.now)?;
    compose()?.ok_or_else(|| "a layer went away while the image was made".into())
}

/// Whether a layer is in no repository that is known, and not here: an image must not name it.
fn is_homeless(build: &Build<'_>, chain: &Chain) -> Result<bool, Failure> {
    for layer in chain.layers() {
        if build.layers.known(layer)?.is_elsewhere()
            && let Some((diff_id, _)) = build.store.index().diff_id(layer, None)?
            && !image::is_elsewhere(build.store, &diff_id)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}
