//! The build that has something to do: solve, then export.

use std::path::Path;
use std::sync::mpsc::Sender;

use oci::Descriptor;
use store::Store;

use crate::build::{Build, Parts, id, millis_now, unix_now};
use crate::cache::content::Definitions;
use crate::cache::key::Chain;
use crate::cache::record::Records;
use crate::export::image::{self, Composed};
use crate::solver::drive::drive;
use crate::solver::state::{Outcome, State};
use crate::{Built, Cancel, Error, Event, Output, Request, Sandbox, VertexInfo, fast};

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
    let root = definitions.order.len() - 1;
    let jobs = request.options.jobs.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(MIN_JOBS, |cores| (cores.get() * 2).max(MIN_JOBS))
    });
    let state = State::new(definitions.inputs.clone(), root, jobs);
    let outcome = drive(state, &build, cancel).map_err(|error| Error::other("start the solver", error))?;
    contexts.save().map_err(|error| Error::other("write the stat cache", error))?;
    match outcome {
        Outcome::Built => export(&build, build.chain(root), cancel),
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
fn export(build: &Build<'_>, chain: &Chain, cancel: &Cancel) -> Result<Built, Error> {
    let request = build.request;
    let failed = |error| Error::Export(error);
    let mut manifest: Option<Descriptor> = None;
    let mut config_digest = None;
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
        let composed = composed(build, chain).map_err(failed)?;
        if !image::is_committed(build.store, &composed, tags).map_err(failed)? {
            image::commit(build.store, &composed, tags, &build.lease, unix_now()).map_err(failed)?;
        }
        manifest = Some(composed.descriptor(request));
        config_digest = Some(composed.config.digest());
    }
    for output in &request.outputs {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        crate::export::write(build, chain, output, manifest.as_ref()).map_err(failed)?;
    }
    build.touch().map_err(|error| Error::other("touch the cache", error))?;
    build.emit(Event::Built { manifest: manifest.as_ref().map(|manifest| manifest.digest), time: millis_now() });
    let tags = if request.outputs.contains(&Output::Image) { request.tags.clone() } else { Vec::new() };
    Ok(Built { manifest, config_digest, tags, cached: build.found(), fresh: build.fresh() })
}

fn composed(build: &Build<'_>, chain: &Chain) -> Result<Composed, Box<dyn std::error::Error + Send + Sync>> {
    let compose = || image::compose(build.request, build.store, &build.layers, chain);
    if let Some(composed) = compose()? {
        return Ok(composed);
    }
    image::complete(build.request, build.store, &build.layers, chain, build.now)?;
    compose()?.ok_or_else(|| "a layer went away while the image was made".into())
}
