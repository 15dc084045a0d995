//! A cache mount goes out: what changed since the place has it.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use oci::Digest;
use sys::Root;

use super::index::{Entry, Index, Kind, PIECE, Pack, Piece};
use super::pack::Packer;
use super::plan::{Fate, fates, live, places};
use super::scan::{self, Found, Scan, Stamp};
use super::state::State;
use super::{Moved, TravelError, manifest};
use crate::build::unix_now;
use crate::cache::backend::Backend;

/// Sends one instance; gives what moved.
pub(super) fn send(instance: &Path, id: &str, to: &dyn Backend) -> Result<Moved, TravelError> {
    let root = Root::open(instance)?;
    let state = State::read(instance);
    let part = manifest::part(id);
    // What is there already. A place whose cache cannot be read gets everything.
    let there = manifest::read(to, &part, id).ok().flatten();
    let prior = match (&state, &there) {
        (Some(state), Some(there)) if state.digest == there.index.digest => Some(state.index.clone()),
        (_, Some(there)) => manifest::index(to, there).ok(),
        (_, None) => None,
    };
    let mut job = Job::new(&root, prior, state.as_ref(), to);
    let scan = scan::scan(&root)?;
    let entries = job.entries(&scan)?;
    let left_out = scan.left_out;
    if let (Some(prior), Some(there)) = (&job.prior, &there)
        && prior.entries == entries
    {
        job.remember(instance, there.index.digest, prior.clone())?;
        return Ok(Moved { files: entries.len() as u64, left_out, ..Moved::default() });
    }
    let (index, moved) = job.settle(entries)?;
    let bytes = index.encode()?;
    let digest = Digest::sha256(&bytes);
    let sent = manifest::write(to, &part, id, &index, &bytes)?;
    job.remember(instance, digest, index.clone())?;
    Ok(Moved { bytes: moved + sent, read: job.read, files: index.entries.len() as u64, left_out })
}

struct Job<'j> {
    root: &'j Root,
    to: &'j dyn Backend,
    prior: Option<Index>,
    /// Where pieces lie that the place has.
    there: HashMap<Digest, (u32, u64)>,
    known: HashMap<Vec<u8>, (Vec<Piece>, Stamp)>,
    /// Of the files as they were read.
    stamps: HashMap<Vec<u8>, Stamp>,
    packer: Option<Packer<'j>>,
    /// Bytes of files that were read.
    read: u64,
}

impl<'j> Job<'j> {
    fn new(root: &'j Root, prior: Option<Index>, state: Option<&State>, to: &'j dyn Backend) -> Self {
        let there = prior.as_ref().map(places).unwrap_or_default();
        let known = state.map(State::files).unwrap_or_default().into_iter();
        let known = known.filter_map(|(path, (entry, stamp))| match &entry.kind {
            Kind::File(pieces) => Some((path.to_vec(), (pieces.clone(), stamp))),
            _ => None,
        });
        let packs = prior.as_ref().map_or(0, |prior| prior.packs.len());
        let known = known.collect();
        let packer = Some(Packer::new(to, packs));
        Self { root, to, prior, there, known, stamps: HashMap::new(), packer, read: 0 }
    }

    /// All entries, with pieces in the packs that are there and in new ones.
    fn entries(&mut self, scan: &Scan) -> Result<Vec<Entry>, TravelError> {
        let mut entries: Vec<Entry> = Vec::with_capacity(scan.found.len());
        for found in &scan.found {
            let kind = match (&found.target, &found.same_as) {
                (Some(target), _) => Kind::Symlink(target.clone()),
                (None, Some(first)) if is_file(&entries, first) => Kind::Hardlink(first.clone()),
                (None, _) if found.stat.is_dir() => Kind::Dir,
                (None, _) => match self.file(found)? {
                    Some(pieces) => Kind::File(pieces),
                    None => continue,
                },
            };
            entries.push(entry(found, kind));
        }
        Ok(entries)
    }

    /// The pieces of a file; `None` when it is gone.
    fn file(&mut self, found: &Found) -> Result<Option<Vec<Piece>>, TravelError> {
        let stamp = Stamp::of(&found.stat);
        if let Some((pieces, known)) = self.known.get(&found.path)
            && *known == stamp
            && let Some(pieces) = self.placed(pieces)
        {
            self.stamps.insert(found.path.clone(), stamp);
            return Ok(Some(pieces));
        }
        let started = now();
        let Some((mut file, stat)) = scan::open(self.root, &found.path) else { return Ok(None) };
        let mut pieces = Vec::new();
        loop {
            let mut bytes = Vec::new();
            if file.by_ref().take(PIECE).read_to_end(&mut bytes).is_err() {
                return Ok(None);
            }
            if bytes.is_empty() {
                break;
            }
            self.read += bytes.len() as u64;
            pieces.push(self.piece(&bytes)?);
        }
        // What changed while it was read, or might have, is read again the next time.
        let stamp = Stamp::of(&stat);
        let unchanged = sys::stat::of(&file).is_ok_and(|after| Stamp::of(&after) == stamp);
        if unchanged && stamp.is_settled(started) {
            self.stamps.insert(found.path.clone(), stamp);
        }
        Ok(Some(pieces))
    }

    /// Known pieces, where they lie now; `None` if one lies nowhere that the place has.
    fn placed(&self, pieces: &[Piece]) -> Option<Vec<Piece>> {
        let place = |Piece(digest, size, ..): &Piece| {
            let new = self.packer.as_ref().and_then(|packer| packer.find(digest));
            let (pack, offset) = self.there.get(digest).copied().or(new)?;
            Some(Piece(*digest, *size, pack, offset))
        };
        pieces.iter().map(place).collect()
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<Piece, TravelError> {
        let digest = Digest::sha256(bytes);
        if let Some((pack, offset)) = self.there.get(&digest) {
            return Ok(Piece(digest, bytes.len() as u64, *pack, *offset));
        }
        match &mut self.packer {
            Some(packer) => packer.add(digest, bytes),
            None => Err(TravelError::Index("packs were closed".to_owned())),
        }
    }

    /// Decides what becomes of the packs that are there, fills the new ones, and numbers all.
    fn settle(&mut self, mut entries: Vec<Entry>) -> Result<(Index, u64), TravelError> {
        let old: Vec<Pack> = self.prior.as_ref().map(|prior| prior.packs.clone()).unwrap_or_default();
        let mut fates = fates(&old, &live(old.len(), all(&entries)));
        self.repack(&mut entries, &mut fates)?;
        let packer = self.packer.take().unwrap_or_else(|| Packer::new(self.to, old.len()));
        let (new, moved) = packer.finish()?;
        let mut numbers = HashMap::new();
        let mut packs = Vec::new();
        for (number, pack) in old.into_iter().chain(new).enumerate() {
            if fates.get(number).is_none_or(|fate| *fate == Fate::Keep) {
                numbers
                    .insert(u32::try_from(number).unwrap_or(u32::MAX), u32::try_from(packs.len()).unwrap_or(u32::MAX));
                packs.push(pack);
            }
        }
        for Piece(_, _, pack, _) in pieces_mut(&mut entries) {
            *pack = numbers.get(pack).copied().ok_or_else(|| TravelError::Index("a pack has no number".to_owned()))?;
        }
        Ok((Index::new(unix_now(), entries, packs), moved))
    }

    /// Moves what is wanted of packs that go, from the files themselves. A file that changed since keeps its pack.
    fn repack(&mut self, entries: &mut [Entry], fates: &mut [Fate]) -> Result<(), TravelError> {
        if !fates.contains(&Fate::Repack) {
            return Ok(());
        }
        for entry in entries {
            let Kind::File(pieces) = &mut entry.kind else { continue };
            let goes = |fates: &[Fate], pack: u32| fates.get(pack as usize) == Some(&Fate::Repack);
            if !pieces.iter().any(|piece| goes(fates, piece.2)) {
                continue;
            }
            let mut file = scan::open(self.root, &entry.path).map(|(file, _)| file);
            for piece in pieces {
                let mut bytes = Vec::new();
                let whole = file.as_mut().is_some_and(|file| file.take(piece.1).read_to_end(&mut bytes).is_ok());
                self.read += bytes.len() as u64;
                if !goes(fates, piece.2) {
                    continue;
                }
                if !whole || Digest::sha256(&bytes) != piece.0 {
                    fates[piece.2 as usize] = Fate::Keep;
                } else if let Some(packer) = &mut self.packer {
                    *piece = packer.add(piece.0, &bytes)?;
                }
            }
        }
        Ok(())
    }

    fn remember(&mut self, instance: &Path, digest: Digest, index: Index) -> Result<(), TravelError> {
        State::new(digest, index, std::mem::take(&mut self.stamps)).write(instance)
    }
}

fn is_file(entries: &[Entry], path: &[u8]) -> bool {
    let at = entries.binary_search_by(|entry| entry.path.as_slice().cmp(path));
    at.is_ok_and(|at| matches!(entries[at].kind, Kind::File(_)))
}

fn entry(found: &Found, kind: Kind) -> Entry {
    let stat = &found.stat;
    Entry {
        path: found.path.clone(),
        mode: stat.permissions(),
        owner: (stat.uid, stat.gid),
        mtime: (stat.mtime.seconds, stat.mtime.nanoseconds),
        kind,
    }
}

fn all(entries: &[Entry]) -> impl Iterator<Item = &Piece> {
    let pieces = entries.iter().filter_map(|entry| match &entry.kind {
        Kind::File(pieces) => Some(pieces),
        _ => None,
    });
    pieces.flatten()
}

fn pieces_mut(entries: &mut [Entry]) -> impl Iterator<Item = &mut Piece> {
    let pieces = entries.iter_mut().filter_map(|entry| match &mut entry.kind {
        Kind::File(pieces) => Some(pieces),
        _ => None,
    });
    pieces.flatten()
}

/// Seconds and nanoseconds since 1970.
fn now() -> (i64, u32) {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}
