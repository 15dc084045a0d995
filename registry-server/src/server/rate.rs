//! How much one caller may ask: so many requests a second, so many at once.
//!
//! A caller is a principal, or an address where nobody logged in (the first 64 bits of an IPv6 address: the rest is
//! the caller's to choose). Memory is bounded: a caller whose bucket is full again is forgotten, and when too many are
//! remembered, some are forgotten early, which only ever lets them ask more.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Tables, so that callers rarely wait for one another.
const SHARDS: usize = 16;
/// Callers that each table remembers: 16 bytes each, a few MiB in all.
const CALLERS: usize = 8192;

/// Who asks, as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller(u64);

/// Turns callers into numbers that nobody can choose.
#[derive(Debug, Default)]
pub(super) struct Callers(RandomState);

impl Callers {
    /// The caller of a request; `name` is empty where nobody logged in. `None` for anonymous ones without an address: a Unix
    /// socket's, whose permissions are their limit.
    pub(super) fn of(&self, name: &str, address: Option<IpAddr>) -> Option<Caller> {
        if !name.is_empty() {
            return Some(Caller(self.0.hash_one((0_u8, name))));
        }
        Some(Caller(match address?.to_canonical() {
            IpAddr::V4(address) => self.0.hash_one((1_u8, address.octets())),
            IpAddr::V6(address) => self.0.hash_one((2_u8, &address.octets()[..8])),
        }))
    }
}

/// Tables of bounded size, by caller.
#[derive(Debug)]
struct Table<T> {
    shards: Vec<Mutex<HashMap<u64, T>>>,
}

impl<T: Copy> Table<T> {
    fn new() -> Self {
        Self { shards: std::iter::repeat_with(|| Mutex::new(HashMap::new())).take(SHARDS).collect() }
    }

    fn lock(&self, caller: Caller) -> MutexGuard<'_, HashMap<u64, T>> {
        let shard = usize::try_from(caller.0 >> 60).unwrap_or_default() % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for one more: first what may be forgotten goes, then, where that is not a quarter, others too.
    fn make_room(shard: &mut HashMap<u64, T>, keep: impl Fn(T) -> bool) {
        if shard.len() < CALLERS {
            return;
        }
        shard.retain(|_, state| keep(*state));
        let mut surplus = shard.len().saturating_sub(CALLERS * 3 / 4);
        shard.retain(|_, _| {
            surplus = surplus.saturating_sub(1);
            surplus == 0
        });
    }
}

/// So many requests a second.
#[derive(Debug)]
pub(super) struct Rate {
    started: Instant,
    /// What one request takes of the bucket.
    interval: Duration,
    /// What a full bucket holds.
    bucket: Duration,
    /// When each caller's bucket is full again, since `started`.
    full: Table<Duration>,
}

impl Rate {
    /// `None` where there is no limit.
    pub(super) fn new(rate: u32, burst: u32) -> Option<Self> {
        if rate == 0 {
            return None;
        }
        let interval = Duration::from_secs(1) / rate;
        let burst = if burst == 0 { rate.saturating_mul(10) } else { burst };
        Some(Self { started: Instant::now(), interval, bucket: interval * burst, full: Table::new() })
    }

    /// Takes one request out of a caller's bucket.
    ///
    /// # Errors
    /// How long to wait until there is one again.
    pub(super) fn take(&self, caller: Caller, now: Instant) -> Result<(), Duration> {
        let now = now.saturating_duration_since(self.started);
        let mut shard = self.full.lock(caller);
        let full = shard.get(&caller.0).copied().unwrap_or_default().max(now) + self.interval;
        let over = full.saturating_sub(now).saturating_sub(self.bucket);
        if !over.is_zero() {
            return Err(over);
        }
        Table::make_room(&mut shard, |full| full > now);
        shard.insert(caller.0, full);
        Ok(())
    }
}

/// So many requests at once.
#[derive(Debug)]
pub(super) struct AtOnce {
    most: usize,
    running: Table<usize>,
}

impl AtOnce {
    /// `None` where there is no limit.
    pub(super) fn new(most: usize) -> Option<Self> {
        (most > 0).then(|| Self { most, running: Table::new() })
    }

    /// Begins a request of a caller; it ends when what is given is dropped. `None` where enough of them run.
    pub(super) fn begin(&self, caller: Caller) -> Option<Turn<'_>> {
        let mut shard = self.running.lock(caller);
        // No more are in here than requests run at once.
        let running = shard.entry(caller.0).or_insert(0);
        if *running >= self.most {
            return None;
        }
        *running += 1;
        Some(Turn { at_once: self, caller })
    }
}

/// A request that runs.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    at_once: &'a AtOnce,
    caller: Caller,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut shard = self.at_once.running.lock(self.caller);
        match shard.get_mut(&self.caller.0) {
            Some(running) if *running > 1 => *running -= 1,
            _ => drop(shard.remove(&self.caller.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let rate = Rate::new(10, 3).unwrap();
        let (start, caller) = (rate.started, Caller(1));
        let at =
            |millis: u64| rate.take(caller, start + Duration::from_millis(millis)).map_err(|wait| wait.as_millis());
        assert_eq!([at(0), at(0), at(0)], [Ok(()); 3]);
        assert_eq!(at(0), Err(100));
        assert_eq!(at(50), Err(50));
        assert_eq!(at(100), Ok(()));
        assert_eq!(at(100), Err(100));
        assert_eq!([at(10_000), at(10_000), at(10_000), at(10_000)], [Ok(()), Ok(()), Ok(()), Err(100)]);
        assert_eq!(rate.take(Caller(2), start), Ok(()), "each has a bucket of their own");
        assert!(Rate::new(0, 5).is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let rate = Rate::new(1, 1).unwrap();
        let callers = Callers::default();
        for number in 0..300_000_u32 {
            let address = IpAddr::from(number.to_be_bytes());
            rate.take(callers.of("", Some(address)).unwrap(), rate.started).unwrap();
        }
        let remembered: usize = rate.full.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(remembered <= SHARDS * CALLERS && remembered > SHARDS * CALLERS / 2, "{remembered}");
    }

    #[test]
    fn who_is_one_caller() {
        let callers = Callers::default();
        let of = |name: &str, address: &str| callers.of(name, address.parse().ok());
        assert_eq!(of("ann", "1.2.3.4"), of("ann", "5.6.7.8"));
        assert_ne!(of("ann", "1.2.3.4"), of("bob", "1.2.3.4"));
        assert_ne!(of("", "1.2.3.4"), of("", "1.2.3.5"));
        assert_eq!(of("", "1.2.3.4"), of("", "::ffff:1.2.3.4"));
        assert_eq!(of("", "2001:db8::1"), of("", "2001:db8::ffff:1"));
        assert_ne!(of("", "2001:db8::1"), of("", "2001:db8:1::1"));
        assert_eq!(of("", ""), None);
    }

    #[test]
    fn so_many_at_once() {
        let at_once = AtOnce::new(2).unwrap();
        let first = at_once.begin(Caller(1)).unwrap();
        let second = at_once.begin(Caller(1)).unwrap();
        assert!(at_once.begin(Caller(1)).is_none());
        assert!(at_once.begin(Caller(2)).is_some());
        drop(first);
        assert!(at_once.begin(Caller(1)).is_some());
        drop(second);
        assert!(at_once.running.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}
