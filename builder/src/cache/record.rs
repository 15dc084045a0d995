//! What a key stands for: a chain of layers that are alive.

use graph::Meta;
use oci::{DiffId, Digest};
use store::{LayerRow, Lease, Record, Store};

use super::key::{Chain, Keyed};
use super::known::Caches;
use crate::Request;
use crate::build::unix_now;

/// What a look-up found.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    /// A result that is there.
    Hit(Chain),
    /// A record, but some layer of it is gone.
    Dead,
    /// No record.
    Miss,
}

/// Records of one store in one boot, and behind them those of caches that were imported.
pub(crate) struct Records<'s> {
    store: &'s Store,
    boot: String,
    caches: Caches,
    /// Results older than so many seconds do not count.
    ttl: Option<i64>,
    epoch: Option<i64>,
}

impl<'s> Records<'s> {
    /// Opens them.
    pub(crate) fn new(store: &'s Store) -> store::Result<Self> {
        Ok(Self { store, boot: store::boot_id()?, caches: Caches::default(), ttl: None, epoch: None })
    }

    /// Opens them as a build sees them.
    pub(crate) fn of_build(store: &'s Store, request: &Request) -> store::Result<Self> {
        let ttl = request.options.caching.ttl.map(|ttl| i64::try_from(ttl).unwrap_or(i64::MAX));
        Ok(Self { caches: Caches::of(request), ttl, epoch: request.options.epoch, ..Self::new(store)? })
    }

    /// The caches that were imported.
    pub(crate) fn caches(&self) -> &Caches {
        &self.caches
    }

    /// This boot's id.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// A layer, if it is usable.
    pub(crate) fn layer(&self, id: &store::LayerId) -> store::Result<Option<LayerRow>> {
        Ok(self.store.index().layer(id)?.and_then(|row| row.alive(&self.boot)))
    }

    /// A layer that is usable, or that is known and can be fetched.
    pub(crate) fn known(&self, id: &store::LayerId) -> store::Result<Option<LayerRow>> {
        let Some(row) = self.store.index().layer(id)? else { return Ok(None) };
        Ok(if row.is_elsewhere() { Some(row) } else { row.alive(&self.boot) })
    }

    /// Looks a key up: in the store, then in the caches that were imported. With a lease, what is found is pinned before it is
    /// checked.
    pub(crate) fn find(&self, keyed: &Keyed, lease: Option<&Lease>) -> store::Result<Lookup> {
        let here = self.here(keyed.key.digest(), lease)?;
        if matches!(here, Lookup::Hit(_)) || self.caches.is_empty() {
            return Ok(here);
        }
        let there = self.elsewhere(keyed, lease)?;
        Ok(if matches!(there, Lookup::Hit(_)) { there } else { here })
    }

    fn here(&self, key: &Digest, lease: Option<&Lease>) -> store::Result<Lookup> {
        let Some(record) = self.store.index().record(key)? else { return Ok(Lookup::Miss) };
        if self.is_old(record.created) {
            return Ok(Lookup::Miss);
        }
        self.alive(Chain(record.layers), lease)
    }

    /// Looks a key up in the caches that were imported; what is found is kept in the store.
    pub(crate) fn elsewhere(&self, keyed: &Keyed, lease: Option<&Lease>) -> store::Result<Lookup> {
        let key = keyed.key.digest();
        let Some(found) = self.caches.find(key).filter(|found| !self.is_old(found.created())) else {
            return Ok(Lookup::Miss);
        };
        let when = (self.boot.as_str(), self.epoch, unix_now());
        let chain = self.caches.adopt(self.store, &found, (key, &keyed.preimage), when)?;
        self.alive(chain, lease)
    }

    fn is_old(&self, created: i64) -> bool {
        self.ttl.is_some_and(|ttl| created.saturating_add(ttl) <= unix_now())
    }

    fn alive(&self, chain: Chain, lease: Option<&Lease>) -> store::Result<Lookup> {
        if let Some(lease) = lease {
            lease.pin(&chain.layers().collect::<Vec<_>>())?;
        }
        for layer in chain.layers() {
            match self.known(layer)? {
                Some(row) if !row.is_elsewhere() || !self.is_distrusted(layer)? => {}
                _ => return Ok(Lookup::Dead),
            }
        }
        Ok(Lookup::Hit(chain))
    }

    /// Whether a layer could not be had. Another step may have kept a result that stands on it meanwhile.
    fn is_distrusted(&self, layer: &store::LayerId) -> store::Result<bool> {
        Ok(match self.store.index().diff_id(layer, None)? {
            Some((diff_id, _)) => self.caches.is_distrusted(&diff_id),
            None => false,
        })
    }

    /// Who wrote the record under a key, if that was not this store.
    pub(crate) fn writer(&self, key: &Digest) -> store::Result<Option<String>> {
        Ok(self.store.index().writer(key)?)
    }

    /// Forgets the results of a layer that could not be had, or was something else than was said: they are run again. What
    /// images and other builds have of it stays.
    pub(crate) fn distrust(&self, diff_id: &DiffId) -> store::Result<()> {
        self.caches.distrust(*diff_id);
        let index = self.store.index();
        let mut lost = Vec::new();
        for id in index.layers_by_diff_id(diff_id)? {
            if index.layer(&id)?.is_some_and(|row| row.is_elsewhere()) {
                lost.push(id);
            }
        }
        let stand_on_it = index.records()?.into_iter().filter(|(_, chain, _)| chain.iter().any(|id| lost.contains(id)));
        index.remove_records(&stand_on_it.map(|(key, ..)| key).collect::<Vec<_>>())?;
        let edges = index.all_edges()?;
        let mut blobs: Vec<Digest> =
            index.variants(diff_id)?.into_iter().filter(|own| !own.is_verified()).map(|own| own.blob).collect();
        blobs.retain(|blob| !edges.iter().any(|(_, named)| named == blob));
        Ok(index.remove_variants(&blobs)?)
    }

    /// Keeps a result under its keys. The first names the step, and has the details, for later explanations.
    pub(crate) fn put(&self, keys: &[&Keyed], slot: &str, details: &str, chain: &Chain, now: i64) -> store::Result<()> {
        let records: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(number, keyed)| {
                let (vertex_name, details) = if number == 0 { (slot.to_owned(), details) } else { (String::new(), "") };
                let preimage = keyed.preimage.clone() + details;
                (*keyed.key.digest(), Record { layers: chain.0.clone(), created: now, preimage, vertex_name })
            })
            .collect();
        Ok(self.store.index().put_records(&records)?)
    }

    /// The preimage of the last result of a step.
    pub(crate) fn previous(&self, slot: &str) -> store::Result<Option<String>> {
        Ok(self.store.index().previous_by_definition(slot)?.map(|(_, record)| record.preimage))
    }
}

/// Names a step across builds: the folder that is built, the stage, and the place in it. What the step does is no part
/// of it, nor how many steps there are, since these are what changes.
pub(crate) fn slot(project: &str, meta: &Meta) -> String {
    let place = meta.name.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(place, _)| place);
    let place = place.map_or(meta.name.as_str(), |place| place.split_once('/').map_or(place, |(number, _)| number));
    format!("{project} {place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_survives_a_change_of_the_instruction_and_of_the_count() {
        let name = |name: &str| slot("/src", &Meta { name: name.into(), ..Meta::default() });
        assert_eq!(name("[build 2/5] RUN make"), name("[build 2/6] RUN make all"));
        assert_ne!(name("[build 2/5] RUN make"), name("[build 3/5] RUN make"));
    }
}
