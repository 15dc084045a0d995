//! Counters that tell a cache whether what it holds may have changed.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// Repositories share counters: with this many, a write to one seldom costs another its cached entries.
const STRIPES: usize = 1024;

/// One counter for each stripe of repositories.
#[derive(Debug)]
pub(super) struct Generations(Vec<AtomicU64>);

impl Generations {
    pub(super) fn new() -> Self {
        Self((0..STRIPES).map(|_| AtomicU64::new(0)).collect())
    }

    /// The counter of a repository.
    pub(super) fn of(&self, name: &str) -> u64 {
        self.stripe(name).load(Ordering::Acquire)
    }

    /// Called between a commit and its answers: who reads a new number reads new rows.
    pub(super) fn rise(&self, names: &[String]) {
        for name in names {
            self.stripe(name).fetch_add(1, Ordering::Release);
        }
    }

    fn stripe(&self, name: &str) -> &AtomicU64 {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % (STRIPES as u64)).unwrap_or_default();
        &self.0[index]
    }
}
