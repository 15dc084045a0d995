//! The layers of an image together: side by side while they come, in order where one needs those below it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use oci::DiffId;
use runtime::tree::settle_implied;
use store::{LayerId, Store};
use sys::Root;

use super::PullError;
use super::layer::{Made, Outcome, Session, Wanted, blocking};
use super::presence::{Form, Presence};
use super::tell::{Voice, announce};
use crate::cache::key::Chain;
use crate::cache::record::Records;
use crate::layers::Layers;
use crate::transfer::event::Step;

/// Why layers did not come.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The layer that it is about, if it is about one.
    pub(crate) layer: Option<DiffId>,
    /// Why.
    pub(crate) error: PullError,
}

impl<E: Into<PullError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { layer: None, error: error.into() }
    }
}

/// Brings what is missing of an image's layers, given base first; their numbers in events begin at `first`. Gives the
/// layers that were unpacked now, and how many bytes moved.
pub(super) async fn bring(
    session: &Arc<Session>,
    layers: Vec<Wanted>,
    first: u32,
    parallel: usize,
) -> Result<(Vec<LayerId>, u64), Failed> {
    let announced: Vec<_> = layers.iter().map(|layer| (layer.blob.digest, layer.blob.size)).collect();
    announce(&session.sink, first, &announced);
    let order: Vec<Wanted> = layers.clone();
    let mut met = HashSet::new();
    let tasks = layers.into_iter().zip(first..).filter_map(|(wanted, number)| {
        let voice = Voice::new(&session.sink, number);
        if !met.insert(wanted.diff_id) {
            // The same layer twice is one layer.
            voice.say(Step::Exists);
            return None;
        }
        Some(async move {
            let diff_id = wanted.diff_id;
            (diff_id, session.layer(wanted, voice).await)
        })
    });
    let mut outcomes = futures_util::stream::iter(tasks).buffer_unordered(parallel.max(1));
    let (mut fresh, mut moved) = (Vec::new(), 0);
    let mut unsettled: HashMap<DiffId, Box<Made>> = HashMap::new();
    let mut failed = None;
    while let Some((diff_id, outcome)) = outcomes.next().await {
        match outcome {
            Ok(Outcome::Exists) => {}
            Ok(Outcome::Kept(id, bytes)) => {
                fresh.push(id);
                moved += bytes;
            }
            Ok(Outcome::Unsettled(layer)) => {
                moved += layer.moved;
                unsettled.insert(diff_id, layer);
            }
            Err(error) => {
                failed = Some(Failed { layer: Some(diff_id), error });
                // What is on its way ends here; what came of it stays for the next try.
                break;
            }
        }
    }
    drop(outcomes);
    let session = session.clone();
    let settled = blocking(move || settle_all(&session, &order, unsettled)).await;
    match failed {
        Some(error) => Err(error),
        None => {
            fresh.extend(settled?);
            Ok((fresh, moved))
        }
    }
}

/// Settles layers in their order, base first, and gives them rows. One whose lower layers did not come goes away.
fn settle_all(
    session: &Session,
    order: &[Wanted],
    mut unsettled: HashMap<DiffId, Box<Made>>,
) -> Result<Vec<LayerId>, PullError> {
    let mut settled = Vec::new();
    let mut below: Vec<LayerId> = Vec::new();
    let mut complete = true;
    for wanted in order {
        if unsettled.is_empty() {
            break;
        }
        if let Some(layer) = unsettled.remove(&wanted.diff_id) {
            if !complete {
                continue;
            }
            settle(session, &layer, &below)?;
            session.keep(&layer)?;
            settled.push(layer.row.id.clone());
        }
        match usable(&session.store, &wanted.diff_id)? {
            Some(id) => below.push(id),
            None => complete = false,
        }
    }
    Ok(settled)
}

/// The layer of the store with this DiffId.
fn usable(store: &Store, diff_id: &DiffId) -> Result<Option<LayerId>, PullError> {
    let boot = store::boot_id().map_err(store::Error::from)?;
    for id in store.index().layers_by_diff_id(diff_id)? {
        if store.index().layer(&id)?.and_then(|row| row.alive(&boot)).is_some() {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Gives the directories that a layer's tar implied the attributes that they have below.
fn settle(session: &Session, layer: &Made, below: &[LayerId]) -> Result<(), PullError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| PullError::Unpack {
        layer: *layer.diff_id.digest(),
        source: error,
    };
    let records = Records::new(&session.store)?;
    let layers = Layers::with_owners(&session.store, &records, session.single_id);
    let trees = layers.trees(&Chain(below.to_vec())).map_err(|error| failed(error.into()))?;
    let lowers: Vec<Root> =
        trees.iter().rev().map(Root::open).collect::<Result<_, _>>().map_err(|error| failed(error.into()))?;
    let path = session.store.layout().tree(&layer.row.id);
    let tree = Root::open(&path).map_err(|error| failed(error.into()))?;
    settle_implied(&tree, &layer.implied, &lowers, &session.ids(&path)).map_err(|error| failed(error.into()))
}

/// Tells of layers that are all there, as if they had been asked for.
pub(super) fn tell_existing(session_sink: &crate::transfer::event::Sink, layers: &[Wanted], first: u32) {
    let announced: Vec<_> = layers.iter().map(|layer| (layer.blob.digest, layer.blob.size)).collect();
    announce(session_sink, first, &announced);
    for (_, number) in layers.iter().zip(first..) {
        Voice::new(session_sink, number).say(Step::Exists);
    }
}

/// Whether every one of these layers has a form.
pub(super) fn all_there(session: &Session, layers: &[Wanted]) -> Result<bool, PullError> {
    let presence = Presence::new(&session.store)?;
    for layer in layers {
        if presence.of(&layer.diff_id, Some(&session.lease))? != Form::Usable {
            return Ok(false);
        }
    }
    Ok(true)
}
