//! How often somebody may be wrong: a bucket of tries for each address and each name. A wrong try is
//! spent, a right one is given back, and tries grow again with time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How many addresses or names are remembered: 4 MiB of them.
const MOST: usize = 65_536;

/// A bucket's size and pace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Tries at once.
    pub(crate) tries: f64,
    /// Tries that grow again in a second.
    pub(crate) per_second: f64,
}

/// One address: enough for a team behind one address that mistypes, useless for guessing.
pub(crate) const ADDRESS: Pace = Pace { tries: 20.0, per_second: 1.0 / 3.0 };
/// One name, from anywhere: wide, since whoever empties it keeps its owner from logging in anew.
pub(crate) const NAME: Pace = Pace { tries: 100.0, per_second: 1.0 };

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// Buckets by key.
#[derive(Debug)]
pub(crate) struct Backoff<K> {
    pace: Pace,
    buckets: HashMap<K, Bucket>,
}

impl<K: Hash + Eq> Backoff<K> {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, buckets: HashMap::new() }
    }

    /// Takes a try.
    ///
    /// # Errors
    /// How long until the next one.
    pub(crate) fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        if self.buckets.len() >= MOST && !self.buckets.contains_key(&key) {
            self.forget(now);
        }
        let pace = self.pace;
        let bucket = self.buckets.entry(key).or_insert(Bucket { left: pace.tries, at: now });
        bucket.left = pace.grown(bucket, now);
        bucket.at = now;
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) / pace.per_second));
        }
        bucket.left -= 1.0;
        Ok(())
    }

    /// Gives a try back.
    pub(crate) fn give_back(&mut self, key: &K) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.left = (bucket.left + 1.0).min(self.pace.tries);
        }
    }

    /// Drops the full ones, and where that is not enough, all that have more than half.
    fn forget(&mut self, now: Instant) {
        let pace = self.pace;
        self.buckets.retain(|_, bucket| pace.grown(bucket, now) < pace.tries);
        if self.buckets.len() >= MOST {
            self.buckets.retain(|_, bucket| pace.grown(bucket, now) < pace.tries / 2.0);
        }
        if self.buckets.len() >= MOST {
            self.buckets.clear();
        }
    }
}

impl Pace {
    fn grown(&self, bucket: &Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + passed * self.per_second).min(self.tries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tries_run_out_and_grow_again() {
        let mut backoff = Backoff::new(Pace { tries: 3.0, per_second: 0.5 });
        let start = Instant::now();
        for _ in 0..3 {
            backoff.take("a", start).unwrap();
        }
        let wait = backoff.take("a", start).unwrap_err();
        assert_eq!(wait, Duration::from_secs(2));
        backoff.take("b", start).unwrap();
        assert!(backoff.take("a", start + Duration::from_secs(1)).is_err());
        backoff.take("a", start + Duration::from_secs(2)).unwrap();
        backoff.give_back(&"a");
        backoff.take("a", start + Duration::from_secs(2)).unwrap();
        assert!(backoff.take("a", start + Duration::from_secs(2)).is_err());
    }

    #[test]
    fn a_flood_of_names_takes_bounded_memory() {
        let mut backoff = Backoff::new(ADDRESS);
        let start = Instant::now();
        for name in 0..200_000_u32 {
            backoff.take(name, start).unwrap();
        }
        assert!(backoff.buckets.len() <= MOST);
    }
}
