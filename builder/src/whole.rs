//! The build that has something to do: solve, then export.

use std::path::Path;
use std::sync::mpsc::Sender;

use store::Store;

use crate::build::{Build, Failure, Parts, id, millis_now, unix_now};
use crate::cache::content::Definitions;
use crate::cache::key::Chain;
use crate::cache::record::Records;
use crate::export::image::{self, Composed};
use crate::export::images::Images;
use crate::solver::drive::drive;
use crate::solver::state::{Outcome, State};
use crate::{Built, Cancel, Error, Event, Image, Output, Request, Sandbox, VertexInfo, fast};

/// Operations side by side where the request does not say: most wait for the disk or the network.
const MIN_JOBS: usize = 8;

/// See [`crate::run`].
pub(crate) fn run(
    request: &Request,
    store: &Store,
    sandbox: Option<&Sandbox>,
    client: Option<&remote::Client>,
    events: Sender<Event>,
    cancel: &Cancel,
) -> Result<Built, Error> {
    let lease = store.lease().map_err(|error| Error::other("take a lease", error))?;
    let contexts = fast::contexts(request, store)?;
    let definitions = fast::definitions(request, &contexts)?;
    contexts.save().map_err(|error| Error::other("write the stat cache", error))?;
    let records = Records::new(store).map_err(|error| Error::other("open the cache", error))?;
    let build_id = request
        .options
        .telling
        .build_id
        .clone()
        .unwrap_or_else(|| format!("{:x}-{}", millis_now(), std::process::id()));
    let logs = store.layout().logs().join(&build_id);
    let build = Build::new(Parts {
        request,
        store,
        sandbox,
        client,
        records: &records,
        contexts: &contexts,
        definitions: &definitions,
        lease,
        logs,
        events,
    });
    let plan = Event::Plan { build: build_id, vertices: infos(request, &definitions) };
    describe(&build.logs, &plan).map_err(|error| Error::other("write the build's description", error))?;
    build.emit(plan);
    let stop = build.stop.clone();
    let _guard = cancel.on_cancel(move || stop.cancel());
    let jobs = request.options.jobs.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(MIN_JOBS, |cores| (cores.get() * 2).max(MIN_JOBS))
    });
    let state = State::new(definitions.inputs.clone(), &definitions.roots, jobs);
    let outcome = drive(state, &build, cancel).map_err(|error| Error::other("start the solver", error))?;
    contexts.save().map_err(|error| Error::other("write the stat cache", error))?;
    match outcome {
        Outcome::Built => export(&build, cancel),
        Outcome::Cancelled => Err(Error::Cancelled),
        Outcome::Failed(v) => Err(build.take_failure(v).unwrap_or(Error::Cancelled)),
    }
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
        let composed: Result<_, _> =
            request.images.iter().zip(&chains).map(|(image, chain)| composed(build, image, chain)).collect();
        let images = composed.and_then(|composed| Images::new(request, composed)).map_err(failed)?;
        if !images.are_committed(build.store, tags).map_err(failed)? {
            images.commit(build.store, tags, &build.lease, unix_now()).map_err(failed)?;
        }
        (built.images, built.index, built.tags) = (images.built(), images.index(), tags.to_vec());
    }
    for output in &request.outputs {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        crate::export::write(build, &chains, output, built.manifest()).map_err(failed)?;
    }
    build.touch().map_err(|error| Error::other("touch the cache", error))?;
    build.emit(Event::Built { manifest: built.manifest().map(|named| named.digest), time: millis_now() });
    Ok(built)
}

fn composed(build: &Build<'_>, image: &Image, chain: &Chain) -> Result<Composed, Failure> {
    let epoch = build.request.options.epoch;
    let compose = || image::compose(image, epoch, build.store, &build.layers, chain);
    if let Some(composed) = compose()? {
        return Ok(composed);
    }
    image::complete(image, epoch, build.store, &build.layers, chain, build.now)?;
    compose()?.ok_or_else(|| "a layer went away while the image was made".into())
}
