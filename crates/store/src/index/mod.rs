//! The index: small rows in SQLite, which many processes read and write at once.
//!
//! Readers never block writers, nor the other way round (WAL). Every change of several rows is one
//! `IMMEDIATE` transaction, so that it fails at its start or not at all. Rows that users would miss
//! (images, layers, digests) are synced; cache rows are only ordered, so that a power cut loses the
//! youngest of them and nothing else.
//!
//! A connection must not cross a `fork`: fork first, or open again in the child.

mod diff_ids;
mod edges;
mod elsewhere;
mod images;
mod layers;
mod origins;
mod records;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Row, Transaction, TransactionBehavior};

pub use diff_ids::Variant;
pub use elsewhere::Elsewhere;
pub use images::ImageRow;
pub use layers::{BlobForm, LayerId, LayerRow, TreeForm, boot_id};
pub use origins::Origin;
pub use records::Record;

/// What can go wrong with the index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database refused.
    #[error("{what} in {path}: {source}")]
    Database {
        /// What was being done.
        what: &'static str,
        /// The database's file.
        path: PathBuf,
        /// Why it refused.
        source: rusqlite::Error,
    },
    /// A newer version of the program wrote the index.
    #[error("{path} has schema {found}, this version knows {known}")]
    Newer {
        /// The database's file.
        path: PathBuf,
        /// What it says.
        found: i64,
        /// What this version reads.
        known: i64,
    },
    /// A row does not hold what its column promises.
    #[error("{path} is damaged: {what} holds {value:?}")]
    Damaged {
        /// The database's file.
        path: PathBuf,
        /// The column.
        what: &'static str,
        /// What is there.
        value: String,
    },
    /// The kernel did not tell its boot id.
    #[error("read {path}: {source}")]
    BootId {
        /// The file that was read.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// The result of an index operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How much a write must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// A power cut.
    Power,
    /// The death of this process.
    Process,
}

/// The open index. Threads share it; each call takes it for itself.
#[derive(Debug)]
pub struct Index {
    connection: Mutex<Connection>,
    path: PathBuf,
    /// Whether this process wrote.
    wrote: AtomicBool,
}

/// How long the log may be when a writer leaves. Whoever comes first afterwards reads all of it: 256 KiB take 0.3 ms,
/// and the two syncs of folding it take about 2 ms, so that only each third or fourth build pays them.
const LOG: u64 = 256 << 10;

/// A writer that leaves folds a long log into the database, and empties it.
impl Drop for Index {
    fn drop(&mut self) {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let long = || std::fs::metadata(&log).is_ok_and(|log| log.len() > LOG);
        if !self.wrote.load(Ordering::Relaxed) || !long() {
            return;
        }
        let connection = self.connection.get_mut().unwrap_or_else(PoisonError::into_inner);
        let fold = || {
            // Whoever reads or writes just now goes on; a later writer folds.
            connection.busy_timeout(Duration::ZERO)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        // A log that stays long costs time and nothing else.
        drop::<rusqlite::Result<()>>(fold());
    }
}

impl Index {
    /// Opens the index at `path`; makes it when there is none and `create` is set.
    ///
    /// # Errors
    /// [`Error::Newer`] when a newer version wrote it.
    pub(crate) fn open(path: &Path, create: bool) -> Result<Self> {
        let connection = schema::open(path, create)?;
        Ok(Self { connection: Mutex::new(connection), path: path.to_path_buf(), wrote: AtomicBool::new(false) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic between statements leaves at worst an open transaction, which its guard rolled back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, what: &'static str) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Database { what, path: path.clone(), source }
    }

    fn damaged(&self, what: &'static str, value: &str) -> Error {
        Error::Damaged { path: self.path.clone(), what, value: value.to_owned() }
    }

    fn parse<T: std::str::FromStr>(&self, what: &'static str, text: &str) -> Result<T> {
        text.parse().map_err(|_| self.damaged(what, text))
    }

    /// Runs `change` in one transaction that starts as a writer.
    fn write<T>(
        &self,
        what: &'static str,
        durability: Durability,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.wrote.store(true, Ordering::Relaxed);
        let mut connection = self.lock();
        let run = |connection: &mut Connection| {
            let level = match durability {
                Durability::Power => "FULL",
                Durability::Process => "NORMAL",
            };
            connection.pragma_update(None, "synchronous", level)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = change(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run(&mut connection).map_err(self.fail(what))
    }

    /// All rows of a query.
    fn rows<T>(
        &self,
        what: &'static str,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let connection = self.lock();
        let run = || {
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map(params, read)?.collect::<rusqlite::Result<Vec<T>>>()
        };
        run().map_err(self.fail(what))
    }

    /// The first row of a query.
    fn row<T>(
        &self,
        what: &'static str,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        use rusqlite::OptionalExtension as _;
        let connection = self.lock();
        let run = || connection.prepare_cached(sql)?.query_row(params, read).optional();
        run().map_err(self.fail(what))
    }
}
