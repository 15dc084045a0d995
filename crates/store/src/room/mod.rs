//! The store's limit, a hard one: whoever is about to write asks for room first.
//!
//! Without a limit, asking costs a load. With one, a process takes room by the chunk from a ledger that all processes of
//! the store share; where it does not suffice, what is there is measured, then what was used longest ago is collected,
//! then the answer is [`RoomError::Full`]. What foreign processes write (a RUN, `git`), their starter measures while they
//! run, and asks here for what they took.

mod config;
mod ledger;
mod meter;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use config::{Config, StoreConfig, parse_size};
use ledger::{Grant, Ledger};
pub use meter::{MAX_DEPTH, Meter};

use crate::Layout;

/// A process takes so much at a time, so that the ledger is seldom written; less where the limit is small.
const CHUNK: u64 = 16 << 20;
/// What the index, locks and other small files grow by between two measurements is not charged: so much of the limit is
/// kept for them, and no more than [`MARGIN`].
const MARGIN_SHARE: u64 = 32;
const MARGIN: u64 = 64 << 20;
/// A collection makes room for more than what is missing, lest the next writer collects again.
const SPARE_SHARE: u64 = 10;

/// Why there is no room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// The limit is reached, and nothing is left to collect.
    #[error(
        "store {} has reached its limit of {limit} bytes: {used} are in use and cannot be given up, {wanted} more are wanted",
        path.display()
    )]
    Full {
        /// The store.
        path: PathBuf,
        /// The limit.
        limit: u64,
        /// What is there.
        used: u64,
        /// What was asked for.
        wanted: u64,
    },
    /// The configuration says something that it cannot mean.
    #[error("{path}: {what}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Making room failed.
    #[error("make room in store {path}: {what}")]
    Collect {
        /// The store.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// A kernel call failed.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A lock.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

impl RoomError {
    /// By how many bytes a store that is full is over what may be taken of its limit.
    pub fn over(&self) -> Option<u64> {
        match self {
            Self::Full { limit, used, .. } => Some(used.saturating_sub(usable(*limit))),
            _ => None,
        }
    }
}

impl From<RoomError> for io::Error {
    fn from(error: RoomError) -> Self {
        let kind = match &error {
            RoomError::Full { .. } => io::ErrorKind::StorageFull,
            RoomError::Io { source, .. } => source.kind(),
            RoomError::Config { .. } | RoomError::Collect { .. } | RoomError::Sys(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Frees what was used longest ago until a store (by its folder) is no larger than so many bytes, if it can; says why not
/// in words.
pub type Collector = fn(&Path, u64) -> Result<(), String>;

/// The room of one store, as one process sees it.
#[derive(Debug)]
pub struct Room {
    layout: Layout,
    limit: OnceLock<Option<u64>>,
    collector: OnceLock<Collector>,
    granted: Mutex<Granted>,
}

#[derive(Debug, Default)]
struct Granted {
    /// Bytes that may be written without asking anybody.
    bytes: u64,
    grant: Option<Grant>,
}

impl Room {
    /// The room of the store of this layout. Touches nothing.
    pub fn new(layout: &Layout) -> Arc<Self> {
        Arc::new(Self {
            layout: layout.clone(),
            limit: OnceLock::new(),
            collector: OnceLock::new(),
            granted: Mutex::default(),
        })
    }

    /// Sets the limit for this process, whatever the store's file says; `None`: there is none. It must come first: once
    /// somebody asked for room, the limit stands.
    pub fn set_limit(&self, limit: Option<u64>) {
        let _ = self.limit.set(limit.filter(|bytes| *bytes > 0));
    }

    /// Who is called when there is no room. Without one, reaching the limit is the end.
    pub fn collect_with(&self, collector: Collector) {
        let _ = self.collector.set(collector);
    }

    /// The limit in bytes: what was set, else what the store's `config.toml` says.
    ///
    /// # Errors
    /// When that file is damaged: a limit that cannot be read is not taken for none.
    pub fn limit(&self) -> Result<Option<u64>, RoomError> {
        if let Some(limit) = self.limit.get() {
            return Ok(*limit);
        }
        let limit = Config::read(&self.layout)?.limit();
        Ok(*self.limit.get_or_init(|| limit))
    }

    /// Bytes that the store takes on disk now.
    pub fn measure(&self) -> u64 {
        Meter::new().measure(self.layout.root())
    }

    /// How much may still be taken before anything is collected, by the ledger; `None` without a limit.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn left(&self) -> Result<Option<u64>, RoomError> {
        let Some(limit) = self.limit()? else { return Ok(None) };
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = Ledger::take(&self.layout, granted.grant.as_ref())?;
        Ok(Some(usable(limit).saturating_sub(ledger.used) + granted.bytes))
    }

    /// Asks for room for `bytes` that are about to be written.
    ///
    /// # Errors
    /// [`RoomError::Full`] when the limit leaves none and nothing more can be collected.
    pub fn take(&self, bytes: u64) -> Result<(), RoomError> {
        let Some(limit) = self.limit()? else { return Ok(()) };
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        if granted.bytes < bytes {
            self.ask(&mut granted, bytes, limit)?;
        }
        granted.bytes -= bytes;
        Ok(())
    }

    /// As [`Room::take`], for bytes that others have written already: they are there whatever the answer is. `nameless` of all that they
    /// ever wrote are in files without a name, which no measurement meets.
    ///
    /// # Errors
    /// [`RoomError::Full`] when the store is larger than its limit with them, and nothing more can be collected.
    pub fn take_written(&self, bytes: u64, nameless: u64) -> Result<(), RoomError> {
        let Some(limit) = self.limit()? else { return Ok(()) };
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ledger = Ledger::take(&self.layout, granted.grant.as_ref())?;
        ledger.add(if ledger.fresh { nameless } else { bytes })?;
        let mut collected = false;
        loop {
            if ledger.used <= usable(limit) {
                return Ok(());
            }
            if !ledger.fresh {
                ledger.measure(&self.layout, granted.grant.as_ref())?;
                ledger.add(granted.bytes + nameless)?;
            } else if !collected && let Some(collect) = self.collector.get() {
                drop(ledger);
                self.collect(*collect, usable(limit).saturating_sub(limit / SPARE_SHARE))?;
                collected = true;
                ledger = Ledger::take(&self.layout, granted.grant.as_ref())?;
                ledger.fresh = false;
            } else {
                return Err(self.full(limit, ledger.used, bytes));
            }
        }
    }

    fn collect(&self, collector: Collector, target: u64) -> Result<(), RoomError> {
        let root = self.layout.root();
        collector(root, target).map_err(|what| RoomError::Collect { path: root.to_path_buf(), what })
    }

    fn full(&self, limit: u64, used: u64, wanted: u64) -> RoomError {
        RoomError::Full { path: self.layout.root().to_path_buf(), limit, used, wanted }
    }

    /// Makes `granted.bytes` at least `bytes`.
    fn ask(&self, granted: &mut Granted, bytes: u64, limit: u64) -> Result<(), RoomError> {
        if granted.grant.is_none() {
            granted.grant = Some(Grant::new(&self.layout)?);
        }
        let missing = bytes - granted.bytes;
        let mut ledger = Ledger::take(&self.layout, granted.grant.as_ref())?;
        let mut collected = false;
        loop {
            if let Some(more) = share(limit, ledger.used, missing) {
                ledger.add(more)?;
                granted.bytes += more;
                return granted.grant.as_ref().map_or(Ok(()), |grant| grant.set(granted.bytes));
            }
            if !ledger.fresh {
                ledger.measure(&self.layout, granted.grant.as_ref())?;
                // What this process holds and has not written is no part of what lies there.
                ledger.add(granted.bytes)?;
            } else if !collected && let Some(collect) = self.collector.get() {
                drop(ledger);
                self.collect(*collect, usable(limit).saturating_sub(missing.max(limit / SPARE_SHARE)))?;
                collected = true;
                ledger = Ledger::take(&self.layout, granted.grant.as_ref())?;
                ledger.fresh = false;
            } else {
                return Err(self.full(limit, ledger.used, bytes));
            }
        }
    }
}

/// What of a limit may be taken by asking.
fn usable(limit: u64) -> u64 {
    limit - (limit / MARGIN_SHARE).min(MARGIN)
}

/// How much to grant to somebody who misses `missing` bytes: a chunk, if there is one, else just that, if there is.
fn share(limit: u64, used: u64, missing: u64) -> Option<u64> {
    let left = usable(limit).checked_sub(used)?;
    let chunk = CHUNK.min(limit / 64).max(missing);
    if chunk <= left { Some(chunk) } else { (missing <= left).then_some(missing) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Blobs, Store};

    fn store(limit: u64) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        store.room().set_limit(Some(limit));
        (dir, store)
    }

    #[test]
    fn shares() {
        let limit = 3200 << 20;
        let usable = usable(limit);
        assert_eq!(usable, limit - (64 << 20));
        assert_eq!(share(limit, 0, 1), Some(CHUNK));
        assert_eq!(share(limit, 0, 100 << 20), Some(100 << 20));
        assert_eq!(share(limit, usable - 10, 10), Some(10));
        assert_eq!(share(limit, usable - 10, 11), None);
        assert_eq!(share(limit, usable + 1, 0), None);
        assert_eq!(share(64 << 20, 0, 1), Some(1 << 20));
    }

    #[test]
    fn no_blob_outgrows_the_limit_and_nothing_of_it_stays() {
        let (_dir, store) = store(8 << 20);
        store.blobs().put_bytes(&vec![1; 2 << 20]).unwrap();
        let mut writer = store.blobs().writer().unwrap();
        let mut failed = None;
        for _ in 0..16 {
            if let Err(error) = writer.push(&[2; 1 << 20]) {
                failed = Some(error);
                break;
            }
        }
        let said = failed.unwrap().to_string();
        assert!(said.contains("limit of 8388608 bytes"), "{said}");
        assert!(store.room().measure() <= 8 << 20);
        drop(writer);
        store.blobs().put_bytes(&vec![3; 1 << 20]).unwrap();
    }

    #[test]
    fn a_collector_is_asked_before_the_answer_is_no() {
        fn all_blobs(root: &Path, target: u64) -> Result<(), String> {
            let store = Store::open_existing(root).unwrap();
            for digest in store.blobs().digests().unwrap() {
                if store.room().measure() > target {
                    store.blobs().remove(&digest).unwrap();
                }
            }
            Ok(())
        }
        let (_dir, store) = store(16 << 20);
        store.room().collect_with(all_blobs);
        for byte in 0..20 {
            store.blobs().put_bytes(&vec![byte; 3 << 20]).unwrap();
            assert!(store.room().measure() <= 16 << 20);
        }
        assert!(store.blobs().digests().unwrap().len() >= 3);
    }

    #[test]
    fn two_handles_share_one_limit() {
        let (dir, store) = store(32 << 20);
        let other = Store::open(dir.path().join("store")).unwrap();
        other.room().set_limit(Some(32 << 20));
        let mut taken = 0u64;
        for at in 0..64 {
            let handle = if at % 2 == 0 { &store } else { &other };
            if handle.room().take(1 << 20).is_ok() {
                taken += 1 << 20;
            }
        }
        // Nothing was written: what was granted is all that counts, and a measurement forgets what was used up.
        assert!(taken >= 16 << 20, "{taken}");
        let mut pieces = 0;
        while store.blobs().put_bytes(&[&[pieces][..], &[0; 1 << 20]].concat()).is_ok()
            && other.blobs().put_bytes(&[&[pieces, 1][..], &[0; 1 << 20]].concat()).is_ok()
        {
            pieces += 1;
            assert!(pieces < 40);
        }
        assert!(store.room().measure() <= 32 << 20);
    }
}
