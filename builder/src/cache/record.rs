//! What a key stands for: a chain of layers that are alive.

use graph::Meta;
use oci::Digest;
use store::{LayerRow, Lease, Record, Store};

use super::key::{Chain, Keyed};

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

/// Records of one store in one boot.
pub(crate) struct Records<'s> {
    store: &'s Store,
    boot: String,
}

impl<'s> Records<'s> {
    /// Opens them.
    pub(crate) fn new(store: &'s Store) -> store::Result<Self> {
        Ok(Self { store, boot: store::boot_id()? })
    }

    /// This boot's id.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// A layer, if it is usable.
    pub(crate) fn layer(&self, id: &store::LayerId) -> store::Result<Option<LayerRow>> {
        Ok(self.store.index().layer(id)?.and_then(|row| row.alive(&self.boot)))
    }

    /// Looks a key up. With a lease, what is found is pinned before it is checked.
    pub(crate) fn find(&self, key: &Digest, lease: Option<&Lease>) -> store::Result<Lookup> {
        let Some(record) = self.store.index().record(key)? else { return Ok(Lookup::Miss) };
        let chain = Chain(record.layers);
        if let Some(lease) = lease {
            lease.pin(&chain.layers().collect::<Vec<_>>())?;
        }
        for layer in chain.layers() {
            if self.layer(layer)?.is_none() {
                return Ok(Lookup::Dead);
            }
        }
        Ok(Lookup::Hit(chain))
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
