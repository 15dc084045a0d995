//! When something is old enough to go. Decisions only.

use std::time::Duration;

use super::config::{Gc, Untagged};
use crate::metadata::Cutoff;
use crate::storage::Storage;
use crate::time::Instant;

/// Rows in one transaction: some milliseconds, in which other writers wait.
const STEP: usize = 200;

/// What the collector obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long unreferenced blobs stay.
    pub grace: Duration,
    /// How long manifests stay that nothing holds; `None`: for good.
    pub untagged_grace: Option<Duration>,
    /// How long an upload stays that does not move.
    pub upload_expiry: Duration,
    /// What the objects should take together at most.
    pub max_bytes: Option<u64>,
    /// How much of the disk should be free.
    pub reserve: u64,
}

/// How much a collection takes. Each takes what those before it do, and more; none takes what is referenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// What the grace periods allow.
    None,
    /// Over the cap, or the disk is full but for the reserve: unreferenced blobs after half their grace. Leases are renewed after a quarter of it, so
    /// that what a client was told is there stays for another quarter at least.
    Blobs,
    /// Still over the cap: manifests that nothing holds after half the grace of blobs, and then what they held.
    Manifests,
}

/// In this order, as far as needed.
pub(super) const ESCALATION: [Pressure; 2] = [Pressure::Blobs, Pressure::Manifests];

impl Rules {
    /// The rules of a configuration.
    pub fn new(gc: &Gc, storage: &Storage) -> Self {
        Self {
            grace: gc.grace.get(),
            untagged_grace: (gc.untagged == Untagged::Delete).then(|| gc.untagged_grace.get()),
            upload_expiry: storage.upload_expiry.get(),
            max_bytes: storage.max_bytes.map(|size| size.0),
            reserve: storage.reserve.0,
        }
    }

    /// What one step may take.
    pub fn cutoff(&self, now: Instant, pressure: Pressure) -> Cutoff {
        let grace = if pressure == Pressure::None { self.grace } else { self.grace / 2 };
        let untagged = self.untagged_grace.map(|usual| match pressure {
            Pressure::None | Pressure::Blobs => usual,
            Pressure::Manifests => usual.min(grace),
        });
        Cutoff { blobs: now.before(grace), manifests: untagged.map(|grace| now.before(grace)), limit: STEP }
    }

    /// Whether so many bytes are too many, or so much free space too little.
    pub(super) fn over_cap(&self, bytes: u64, free: u64) -> bool {
        self.max_bytes.is_some_and(|most| bytes > most) || free < self.reserve
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_shortens_graces_and_keeps_what_is_to_be_kept() {
        let hour = |hours: u64| Duration::from_secs(hours * 3600);
        let rules = |untagged| Rules {
            grace: hour(24),
            untagged_grace: untagged,
            upload_expiry: hour(24),
            max_bytes: Some(10),
            reserve: 5,
        };
        let now = Instant(1_000_000_000_000);
        let ago = |at: Instant| (now.0 - at.0) / 3_600_000;
        for (untagged, pressure, blobs, manifests) in [
            (Some(hour(168)), Pressure::None, 24, Some(168)),
            (Some(hour(168)), Pressure::Blobs, 12, Some(168)),
            (Some(hour(168)), Pressure::Manifests, 12, Some(12)),
            (Some(hour(1)), Pressure::Manifests, 12, Some(1)),
            (None, Pressure::Manifests, 12, None),
        ] {
            let cutoff = rules(untagged).cutoff(now, pressure);
            assert_eq!((ago(cutoff.blobs), cutoff.manifests.map(ago)), (blobs, manifests), "{pressure:?}");
        }
        assert!(!rules(None).over_cap(10, 5) && rules(None).over_cap(11, 5) && rules(None).over_cap(10, 4));
        assert!(!Rules { max_bytes: None, ..rules(None) }.over_cap(u64::MAX, 5));
    }
}
