//! What must move, decided: which packs stay, which go, which are made anew.

use std::collections::HashMap;

use oci::Digest;

use super::index::{Index, Pack, Piece};

/// A pack is filled up to this, before compression.
pub(super) const PACK: u64 = 4 << 20;
/// So many packs of less than a quarter of [`PACK`] are made into few: each is a request of whoever fetches the mount.
const MANY_SMALL: usize = 32;

/// What becomes of a pack that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays as it is.
    Keep,
    /// Nothing in it is wanted.
    Drop,
    /// What is wanted of it moves into new packs.
    Repack,
}

/// Decides by how many bytes of each pack are wanted. Packs that are mostly dead are made anew once half of all is dead: so
/// what a cache takes elsewhere is at most twice what it holds, and what moves for that is at most what died.
pub(super) fn fates(packs: &[Pack], live: &[u64]) -> Vec<Fate> {
    let wanted: u64 = live.iter().sum();
    let there: u64 = packs.iter().zip(live).filter(|(_, live)| **live > 0).map(|(pack, _)| pack.raw).sum();
    let wasteful = wanted < there / 2;
    let is_small = |pack: &Pack| pack.raw < PACK / 4;
    let small = packs.iter().zip(live).filter(|(pack, live)| **live > 0 && is_small(pack)).count();
    let fate = |(pack, live): (&Pack, &u64)| match live {
        0 => Fate::Drop,
        live if wasteful && *live < pack.raw / 2 => Fate::Repack,
        _ if small > MANY_SMALL && is_small(pack) => Fate::Repack,
        _ => Fate::Keep,
    };
    packs.iter().zip(live).map(fate).collect()
}

/// Where each piece of an index lies: the number of its pack, and where in it.
pub(super) fn places(index: &Index) -> HashMap<Digest, (u32, u64)> {
    index.pieces().map(|Piece(digest, _, pack, offset)| (*digest, (*pack, *offset))).collect()
}

/// How many bytes of each of `packs` these pieces want; a piece that is wanted twice counts once.
pub(super) fn live<'p>(packs: usize, pieces: impl Iterator<Item = &'p Piece>) -> Vec<u64> {
    let mut live = vec![0; packs];
    let mut seen = std::collections::HashSet::new();
    for Piece(_, size, pack, offset) in pieces {
        if let Some(sum) = live.get_mut(*pack as usize)
            && seen.insert((*pack, *offset))
        {
            *sum += size;
        }
    }
    live
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(raw: u64) -> Pack {
        Pack { digest: Digest::sha256(&raw.to_be_bytes()), size: raw / 2, raw }
    }

    #[test]
    fn packs_live_and_die() {
        use Fate::{Drop, Keep, Repack};
        let cases: &[(&[u64], &[u64], &[Fate])] = &[
            (&[], &[], &[]),
            (&[PACK, PACK], &[PACK, PACK], &[Keep, Keep]),
            (&[PACK, PACK], &[PACK, 0], &[Keep, Drop]),
            // Less than half of all is dead.
            (&[PACK, PACK], &[PACK, 10], &[Keep, Keep]),
            (&[PACK, PACK, PACK], &[PACK, 10, 10], &[Keep, Repack, Repack]),
            (&[PACK], &[PACK / 2 - 1], &[Repack]),
        ];
        for (raw, live, expected) in cases {
            let packs: Vec<_> = raw.iter().map(|raw| pack(*raw)).collect();
            assert_eq!(fates(&packs, live), *expected, "{raw:?} {live:?}");
        }
    }

    #[test]
    fn many_small_packs_become_few() {
        let mut packs = vec![pack(PACK)];
        packs.extend((0..MANY_SMALL as u64).map(|at| pack(1000 + at)));
        let live: Vec<u64> = packs.iter().map(|pack| pack.raw).collect();
        assert!(fates(&packs, &live).iter().all(|fate| *fate == Fate::Keep));
        packs.push(pack(5));
        let live: Vec<u64> = packs.iter().map(|pack| pack.raw).collect();
        let fates = fates(&packs, &live);
        assert_eq!(fates[0], Fate::Keep);
        assert!(fates[1..].iter().all(|fate| *fate == Fate::Repack));
    }

    #[test]
    fn what_is_wanted_twice_lives_once() {
        let digest = Digest::sha256(b"x");
        let pieces = [Piece(digest, 5, 0, 0), Piece(digest, 5, 0, 0), Piece(digest, 7, 1, 3)];
        assert_eq!(live(2, pieces.iter()), [5, 7]);
    }
}
