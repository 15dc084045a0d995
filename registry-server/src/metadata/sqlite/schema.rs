//! The tables, how they came to be, and how a database is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::super::{Error, Result};

/// How long a connection waits for another. Only a checkpoint or a stopped process makes one wait at all.
const BUSY: Duration = Duration::from_secs(30);

/// Pages in the log before a commit folds them into the database (4 KiB each). What a start after a crash
/// reads is this much: 16 MiB take a few milliseconds.
const CHECKPOINT_PAGES: i64 = 4_000;

/// How much of a connection's database is mapped rather than read into memory of its own.
const MAP_BYTES: i64 = 1 << 30;

/// How many statements a connection keeps compiled: all of this module's.
const STATEMENTS: usize = 128;

/// The tables of `metadata.sqlite`. Digests are a byte for the algorithm and the raw bytes. A row's pins and references
/// are counted by whoever makes or breaks them, so that what has none is found by a partial index.
const TABLES: &str = include_str!("schema/metadata.sql");

/// What leads from one version of `metadata.sqlite` to the next, in order.
const MIGRATIONS: &[(i64, &str)] = &[(0, include_str!("schema/migrate-0.sql"))];

/// The tables of `uploads.sqlite`.
const UPLOAD_TABLES: &str = include_str!("schema/uploads.sql");

/// One database of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema {
    /// For messages.
    name: &'static str,
    /// The version that [`Schema::tables`] lay, in SQLite's `user_version`.
    version: i64,
    tables: &'static str,
    migrations: &'static [(i64, &'static str)],
    /// SQLite's word: `FULL` survives a power cut, `NORMAL` a killed process.
    synchronous: &'static str,
}

/// Everything but uploads.
pub(super) const METADATA: Schema =
    Schema { name: "metadata.sqlite", version: 1, tables: TABLES, migrations: MIGRATIONS, synchronous: "FULL" };

/// Uploads in the making.
pub(super) const UPLOADS: Schema =
    Schema { name: "uploads.sqlite", version: 0, tables: UPLOAD_TABLES, migrations: &[], synchronous: "NORMAL" };

impl Schema {
    /// Opens the database for writing; makes or migrates it where needed.
    pub(super) fn open(&self, path: &Path) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        configure(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", self.synchronous)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", CHECKPOINT_PAGES * 4096)?;
        self.migrate(&mut connection)?;
        Ok(connection)
    }

    fn migrate(&self, connection: &mut Connection) -> Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let empty: bool = transaction.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))?;
        if version == self.version && !empty {
            return Ok(());
        }
        if version > self.version {
            return Err(Error::Version(format!(
                "{} has schema {version}, and this version of the program knows {}: use the newer program",
                self.name, self.version
            )));
        }
        if empty {
            transaction.execute_batch(self.tables)?;
            version = self.version;
        }
        while version < self.version {
            let Some((_, sql)) = self.migrations.iter().find(|(from, _)| *from == version) else {
                return Err(Error::Version(format!("{} has schema {version}, which nothing migrates", self.name)));
            };
            transaction.execute_batch(sql)?;
            version += 1;
        }
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
        Ok(())
    }
}

/// Opens a database that is there for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    // Pages come from the map; what is copied from the log is little.
    connection.pragma_update(None, "cache_size", -512)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "mmap_size", MAP_BYTES)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}
