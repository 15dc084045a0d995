//! `--verify`: a build done again from nothing, and what came out different.
//!
//! The second build has a store of its own, which knows the base images of the first one and nothing else: no step is cached,
//! no cache mount is filled. It stands where snapshots do, so that a collector takes it away should we die.

mod borrow;
mod compare;

use std::sync::mpsc::Sender;

use oci::Platform;
use store::{LayerId, Lease, Store};

use crate::build::{Failure, unix_now};
use crate::cache::key::Chain;
use crate::cache::record::{Lookup, Records};
use crate::export::image::{self, Composed};
use crate::layers::{self, Layers};
use crate::op::source;
use crate::solver::state::V;
use crate::{Attesting, Caching, Cancel, Error, Event, Output, Request, Sandbox, fast};

/// Something that came out different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In the image for this platform.
    pub platform: Platform,
    /// A path that begins with a slash, `layer N`, or a field of the config.
    pub place: String,
    /// What differs there: the first build's, and the second's.
    pub what: String,
}

/// Builds a request again that was just built, and compares: config, layers, and each file by type, mode, owner, time, link,
/// attributes and content. Nothing is different where the images have the same digest.
///
/// # Errors
/// When the second build fails, or a result cannot be read.
pub fn verify(
    request: &Request,
    store: &Store,
    sandbox: Option<&Sandbox>,
    client: Option<&remote::Client>,
    events: Sender<Event>,
    cancel: &Cancel,
) -> Result<Vec<Difference>, Error> {
    let failed = |error: Failure| Error::other("compare the builds", error);
    let lease = store.lease().map_err(|error| failed(error.into()))?;
    let id = LayerId::mint();
    lease.pin(&[&id]).map_err(|error| failed(error.into()))?;
    let home = store.layout().snapshot(id.as_str());
    let again = || -> Result<Vec<Difference>, Error> {
        std::fs::create_dir_all(&home).map_err(|error| failed(error.into()))?;
        let scratch = Store::open(home.join("store")).map_err(|error| failed(error.into()))?;
        borrow::bases(request, store, &scratch, &lease).map_err(failed)?;
        let second = alone(request);
        crate::run_in(&second, &scratch, sandbox, client, events, cancel)?;
        compared(request, [store, &scratch], sandbox, &lease).map_err(failed)
    };
    let differences = again();
    // What cannot be removed now, a collector removes.
    drop(layers::remove(&home));
    differences
}

/// The same request with nothing that is written anywhere, and no cache from elsewhere.
fn alone(request: &Request) -> Request {
    let mut second = request.clone();
    second.outputs = vec![Output::CacheOnly];
    second.tags = Vec::new();
    second.options.attesting = Attesting::default();
    second.options.caching = Caching::default();
    second.options.telling.build_id = None;
    second
}

/// The result of one image in one store.
struct Side<'s> {
    layers: Layers<'s>,
    chain: Chain,
    composed: Composed,
}

fn compared(
    request: &Request,
    stores: [&Store; 2],
    sandbox: Option<&Sandbox>,
    lease: &Lease,
) -> Result<Vec<Difference>, Failure> {
    let [first, second] = stores;
    let records = [Records::new(first)?, Records::new(second)?];
    let mut all = Vec::new();
    for number in 0..request.images.len() {
        let a = side(request, number, first, &records[0], sandbox, lease)?;
        let b = side(request, number, second, &records[1], sandbox, lease)?;
        let platform = &request.images[number].platform;
        let found = compare::sides(&a, &b, request.options.clamp())?;
        all.extend(found.into_iter().map(|(place, what)| Difference { platform: platform.clone(), place, what }));
    }
    Ok(all)
}

fn side<'s>(
    request: &Request,
    number: usize,
    store: &'s Store,
    records: &'s Records<'s>,
    sandbox: Option<&Sandbox>,
    lease: &Lease,
) -> Result<Side<'s>, Failure> {
    let layers = Layers::new(store, records, sandbox.map(|sandbox| &sandbox.probe.rung));
    let contexts = fast::contexts(request, store)?;
    let definitions = fast::definitions(request, &contexts)?;
    let root: V = definitions.roots[number];
    let chain = match request.graph.vertex(definitions.order[root]).op() {
        graph::Op::Source(graph::Source::Image { manifest, .. }) => {
            source::image::chain(store, records, Some(lease), manifest, unix_now())?
        }
        graph::Op::Source(_) => Chain::default(),
        graph::Op::Exec(_) | graph::Op::File(_) | graph::Op::Merge(_) => {
            match records.find(&definitions.keyed[root], Some(lease))? {
                Lookup::Hit(chain) => chain,
                Lookup::Dead | Lookup::Miss => return Err("a result went away before it was compared".into()),
            }
        }
    };
    let (image, options) = (&request.images[number], &request.options);
    image::complete(image, options, store, &layers, &chain, unix_now())?;
    let composed = image::compose(image, options, store, &layers, &chain, &[])?;
    let composed = composed.ok_or("a layer went away before it was compared")?;
    Ok(Side { layers, chain, composed })
}
