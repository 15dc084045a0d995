//! The tables, and how the database is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{Error, Result};

/// The schema that this version reads and writes (SQLite's `user_version`).
const SCHEMA: i64 = 3;

/// How long a writer waits for the others. Writes take 1–3 ms, so only a stopped process is slower.
const BUSY: Duration = Duration::from_secs(60);

/// Digests and ids are text, so that any SQLite shell shows them. An absent epoch is the least integer,
/// since SQLite holds NULLs of a key to be different from one another.
const TABLES: &str = "
CREATE TABLE images (
  name     TEXT PRIMARY KEY,
  manifest TEXT NOT NULL,
  created  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE layers (
  id         TEXT PRIMARY KEY,
  tree       INTEGER NOT NULL,
  boot       TEXT,
  blob       TEXT,
  media_type TEXT,
  blob_size  INTEGER,
  size       INTEGER NOT NULL,
  created    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX layers_by_blob ON layers (blob) WHERE blob IS NOT NULL;
CREATE TABLE diff_ids (
  layer   TEXT NOT NULL,
  epoch   INTEGER NOT NULL,
  diff_id TEXT NOT NULL,
  size    INTEGER NOT NULL,
  PRIMARY KEY (layer, epoch)
) WITHOUT ROWID;
CREATE INDEX diff_ids_by_digest ON diff_ids (diff_id);
CREATE TABLE variants (
  diff_id    TEXT NOT NULL,
  media_type TEXT NOT NULL,
  blob       TEXT NOT NULL,
  size       INTEGER NOT NULL,
  PRIMARY KEY (diff_id, media_type)
) WITHOUT ROWID;
CREATE INDEX variants_by_blob ON variants (blob);
CREATE TABLE records (
  id       INTEGER PRIMARY KEY,
  key      TEXT NOT NULL UNIQUE,
  name     TEXT NOT NULL,
  layers   TEXT NOT NULL,
  created  INTEGER NOT NULL,
  used     INTEGER NOT NULL,
  preimage TEXT NOT NULL
);
CREATE INDEX records_by_name ON records (name, id);
CREATE TABLE edges (
  parent TEXT NOT NULL,
  child  TEXT NOT NULL,
  PRIMARY KEY (parent, child)
) WITHOUT ROWID;
";

/// What version 2 added.
const ORIGINS: &str = "
CREATE TABLE origins (
  blob       TEXT NOT NULL,
  registry   TEXT NOT NULL,
  repository TEXT NOT NULL,
  seen       INTEGER NOT NULL,
  PRIMARY KEY (blob, registry, repository)
);
";

/// What version 3 added: of records that came from elsewhere, where from.
const WRITERS: &str = "
CREATE TABLE writers (
  key    TEXT PRIMARY KEY,
  writer TEXT NOT NULL
) WITHOUT ROWID;
";

pub(super) fn open(path: &Path, create: bool) -> Result<Connection> {
    let fail = |what| {
        let path = path.to_path_buf();
        move |source| Error::Database { what, path, source }
    };
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags).map_err(fail("open"))?;
    let version = configure(&connection).map_err(fail("set up"))?;
    match version {
        SCHEMA => Ok(connection),
        0 if create => make(connection).map_err(fail("lay the tables")),
        1 | 2 => lay(connection).map_err(fail("bring the tables up to date")),
        0 => Err(fail("open")(rusqlite::Error::QueryReturnedNoRows)),
        found => Err(Error::Newer { path: path.to_path_buf(), found, known: SCHEMA }),
    }
}

/// Settings of this connection. None of them writes.
fn configure(connection: &Connection) -> rusqlite::Result<i64> {
    connection.busy_timeout(BUSY)?;
    // The last process to leave would fold the log into the database and remove it, with two fsyncs; the
    // next to come would make it anew. Folding happens by size instead, in writers.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Lays the tables. Several processes may arrive here at once: one lays them, the others see them.
fn make(connection: Connection) -> rusqlite::Result<Connection> {
    // Changing the journal's mode needs the database for itself, and the busy handler does not run for it.
    for attempt in 0.. {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Ok(()) => break,
            Err(_) if attempt < 2_000 => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(error),
        }
    }
    lay(connection)
}

/// Lays the tables that are missing: all of them, or those that came after the version that wrote the index.
fn lay(mut connection: Connection) -> rusqlite::Result<Connection> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == 0 {
        transaction.execute_batch(TABLES)?;
    }
    if version < 2 {
        transaction.execute_batch(ORIGINS)?;
    }
    if version < 3 {
        transaction.execute_batch(WRITERS)?;
    }
    if version < SCHEMA {
        transaction.pragma_update(None, "user_version", SCHEMA)?;
    }
    transaction.commit()?;
    Ok(connection)
}
