//! One layer in place of several: the files that they show together, and what they delete of what is below.
//!
//! The layer is made once: a record under a key of the layers' names finds it again.

use std::collections::BTreeSet;
use std::io;

use layer::{Entry, Kind, Toc};
use oci::media_type;
use runtime::tree::LayerBuilder;
use store::{BlobForm, Blobs as _, Expected, LayerId, LayerRow, Store};

use super::tar::{Links, first_name};
use crate::Squash;
use crate::build::Failure;
use crate::cache::key::{Chain, Keyed};
use crate::cache::record::Lookup;
use crate::layers::Layers;

/// What the key of a squashed layer begins with; another way to squash has another.
const VERSION: &str = "estiba.squash.v1";

/// A chain, and how many of its layers are the base's.
type Based = (Chain, usize);

/// The chain with its layers squashed, if that was done before, or if there is nothing to do.
pub(crate) fn known(layers: &Layers<'_>, chain: &Chain, base: usize, which: Squash) -> Result<Option<Based>, Failure> {
    let (below, merged) = split(chain, base, which);
    if merged.len() < 2 {
        return Ok(Some((chain.clone(), base)));
    }
    match layers.records().find(&key(&merged, below.is_empty()), None)? {
        Lookup::Hit(found) => Ok(Some(joined(below, found))),
        Lookup::Dead | Lookup::Miss => Ok(None),
    }
}

/// Squashes the layers of a chain; their records must be there.
pub(crate) fn make(
    store: &Store,
    layers: &Layers<'_>,
    chain: &Chain,
    base: usize,
    which: Squash,
    now: i64,
) -> Result<Based, Failure> {
    if let Some(known) = known(layers, chain, base, which)? {
        return Ok(known);
    }
    let (below, merged) = split(chain, base, which);
    let deleted = match below.is_empty() {
        true => Vec::new(),
        false => deletions(layers, &Chain(below.to_vec()), &merged)?,
    };
    let row = write(store, layers, &merged, deleted)?;
    let one = Chain(vec![row.id.clone()]);
    layers.records().put(&[&key(&merged, below.is_empty())], "", "", &one, now)?;
    Ok(joined(below, one))
}

/// The layers that stay, and those that become one.
fn split(chain: &Chain, base: usize, which: Squash) -> (&[LayerId], Vec<LayerId>) {
    let (below, above) = match which {
        Squash::New => chain.0.split_at(base),
        Squash::All => chain.0.split_at(0),
    };
    (below, above.iter().filter(|id| !Chain::is_empty_layer(id)).cloned().collect())
}

fn joined(below: &[LayerId], one: Chain) -> Based {
    (Chain(below.iter().cloned().chain(one.0).collect()), below.len())
}

fn key(merged: &[LayerId], whole: bool) -> Keyed {
    let names: String = merged.iter().map(|id| format!("{id}\n")).collect();
    Keyed::of_text(format!("{VERSION}\nwhole\t{whole}\n{names}"))
}

/// What the layers delete, all together, of what is below them. What is not there is not deleted: where a directory is of one
/// layer alone, the kernel shows the names of deletions.
fn deletions(layers: &Layers<'_>, below: &Chain, merged: &[LayerId]) -> Result<Vec<Entry>, Failure> {
    let mut found = Deletions::default();
    for id in merged {
        let row = layers.row(id)?;
        let toc = match layers.kept_toc(id)? {
            Some(toc) => toc,
            None => layers.toc_of(id, &layers.tar(&row)?)?,
        };
        found.add(&toc);
    }
    let view = layers.view(below)?;
    let mut kept = Vec::new();
    for entry in found.entries() {
        if view.lookup(&entry.path, false)?.is_some() {
            kept.push(entry);
        }
    }
    Ok(kept)
}

/// Deletions of layers, the lowest first.
#[derive(Default)]
struct Deletions {
    whiteouts: BTreeSet<Vec<u8>>,
    opaque: BTreeSet<Vec<u8>>,
    /// What is something else than a directory: one above it shows nothing of what is below.
    others: BTreeSet<Vec<u8>>,
}

impl Deletions {
    fn add(&mut self, toc: &Toc) {
        let entries = || toc.entries().iter().map(|entry| &entry.entry);
        for entry in entries().filter(|entry| entry.kind.is_deletion()) {
            self.forget_below(&entry.path);
            if entry.kind == Kind::Whiteout {
                self.opaque.remove(&entry.path);
                self.others.remove(&entry.path);
                self.whiteouts.insert(entry.path.clone());
            } else {
                self.opaque.insert(entry.path.clone());
            }
        }
        for entry in entries().filter(|entry| !entry.kind.is_deletion()) {
            for (at, _) in entry.path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                self.directory(&entry.path[..at]);
            }
            if entry.kind == Kind::Dir {
                self.directory(&entry.path);
                continue;
            }
            self.forget_below(&entry.path);
            self.opaque.remove(&entry.path);
            self.whiteouts.remove(&entry.path);
            self.others.insert(entry.path.clone());
        }
    }

    /// A directory where something was deleted, or was no directory, hides what is below.
    fn directory(&mut self, path: &[u8]) {
        if self.whiteouts.remove(path) | self.others.remove(path) {
            self.opaque.insert(path.to_vec());
        }
    }

    /// What was said of the inside of something that is gone.
    fn forget_below(&mut self, path: &[u8]) {
        let below = |other: &Vec<u8>| other.strip_prefix(path).is_some_and(|rest| rest.first() == Some(&b'/'));
        for set in [&mut self.whiteouts, &mut self.opaque, &mut self.others] {
            set.retain(|other| !below(other));
        }
    }

    /// In the order of a layer.
    fn entries(mut self) -> Vec<Entry> {
        for path in self.opaque.clone() {
            // Nothing of below is seen in there anyhow.
            self.forget_below(&path);
        }
        let whiteouts = self.whiteouts.into_iter().map(|path| Entry::new(path, Kind::Whiteout));
        let opaque = self.opaque.into_iter().map(|path| Entry::new(path, Kind::Opaque));
        let mut all: Vec<Entry> = whiteouts.chain(opaque).collect();
        all.sort_by(Entry::order);
        all
    }
}

/// Writes the layer as a blob of the store.
fn write(store: &Store, layers: &Layers<'_>, merged: &[LayerId], deleted: Vec<Entry>) -> Result<LayerRow, Failure> {
    let view = layers.view(&Chain(merged.to_vec()))?;
    let mut builder = LayerBuilder::new(store.blobs().writer()?);
    let mut deleted = deleted.into_iter().peekable();
    let mut links = Links::new();
    view.visit(&view.root(), |path, node| {
        if path.is_empty() {
            return Ok(true);
        }
        let mut entry = node.entry().clone();
        while let Some(deletion) = deleted.next_if(|deletion| deletion.order(&entry).is_lt()) {
            builder.append(deletion, &mut io::empty(), None)?;
        }
        if let Some(first) = first_name(&view, node, &mut links)? {
            (entry.kind, entry.size, entry.link) = (Kind::Hardlink, 0, first);
            builder.append(entry, &mut io::empty(), None)?;
        } else if entry.kind == Kind::File {
            builder.append(entry, &mut view.open(node)?, None)?;
        } else {
            builder.append(entry, &mut io::empty(), None)?;
        }
        Ok::<bool, Failure>(true)
    })?;
    for deletion in deleted {
        builder.append(deletion, &mut io::empty(), None)?;
    }
    let (built, writer) = builder.finish()?;
    let (digest, size) = writer.commit(Expected::exactly(*built.diff_id.digest(), built.size))?;
    let mut created = 0;
    for id in merged {
        created = created.max(layers.row(id)?.created);
    }
    let blob = BlobForm { digest, media_type: media_type::OCI_LAYER.to_owned(), size };
    let row = LayerRow { id: LayerId::mint(), tree: None, blob: Some(blob), size, created };
    layers.keep_toc(&row.id, built.toc)?;
    store.index().put_layer_with_diff_id(&row, &built.diff_id)?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use layer::TocEntry;

    use super::*;

    fn toc(entries: &[(&str, Kind)]) -> Toc {
        let entry = |(path, kind): &(&str, Kind)| TocEntry {
            entry: Entry::new(*path, *kind),
            offset: 0,
            extents: Vec::new(),
            content: None,
        };
        Toc::new(entries.iter().map(entry).collect())
    }

    #[test]
    fn deletions_of_several_layers_are_those_of_one() {
        use Kind::{Dir, File, Opaque, Whiteout};
        type Layers<'l> = &'l [&'l [(&'l str, Kind)]];
        let cases: [(Layers<'_>, &str); 9] = [
            // What is deleted stays deleted, unless a file takes its place.
            (&[&[("a", Whiteout)]], "w:a"),
            (&[&[("a", Whiteout)], &[("a", File)]], ""),
            (&[&[("a", File)], &[("a", Whiteout)]], "w:a"),
            // A directory in its place is opaque, also where only something in it is named.
            (&[&[("a", Whiteout)], &[("a", Dir), ("a/x", File)]], "o:a"),
            (&[&[("a", Whiteout)], &[("a/x", File)]], "o:a"),
            // So is one in the place of a file that hid a directory.
            (&[&[("a", File)], &[("a", Dir)]], "o:a"),
            // What was said of the inside of a directory goes with it.
            (&[&[("a/b", Whiteout), ("a/c", Opaque)], &[("a", Whiteout)]], "w:a"),
            (&[&[("a/b", Whiteout)], &[("a", Opaque)], &[("a/d", Whiteout)]], "o:a"),
            (&[&[("a", Opaque), ("a/b", Whiteout)], &[("a", File)]], ""),
        ];
        for (layers, expected) in cases {
            let mut deletions = Deletions::default();
            layers.iter().for_each(|entries| deletions.add(&toc(entries)));
            let shown: Vec<String> = deletions
                .entries()
                .iter()
                .map(|entry| {
                    let mark = if entry.kind == Opaque { "o" } else { "w" };
                    format!("{mark}:{}", String::from_utf8_lossy(&entry.path))
                })
                .collect();
            assert_eq!(shown.join(" "), expected, "{layers:?}");
        }
    }
}
