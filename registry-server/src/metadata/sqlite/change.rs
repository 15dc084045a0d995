//! What a writing operation works with: the transaction, and what is to happen once it is durable.

use rusqlite::{Connection, Params};

use super::super::Result;
use super::journal::Line;

/// One operation within the writer's transaction.
pub(super) struct Change<'c> {
    connection: &'c Connection,
    /// Lines for the journal.
    pub(super) lines: Vec<Line>,
    /// Names of repositories whose tags or manifests are other than before.
    pub(super) changed: Vec<String>,
}

impl<'c> Change<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection, lines: Vec::new(), changed: Vec::new() }
    }

    /// For reading what the transaction sees.
    pub(super) fn connection(&self) -> &'c Connection {
        self.connection
    }

    /// Runs a statement; the number of rows that it wrote.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let written = statement.execute(params)?;
        by_index(&statement, sql);
        Ok(written)
    }

    /// The first row of a statement.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        row(self.connection, sql, params, read)
    }

    /// All rows of a statement.
    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        rows(self.connection, sql, params, read)
    }
}

/// The first row of a query.
pub(super) fn row<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    use rusqlite::OptionalExtension as _;
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(params, read).optional()?;
    by_index(&statement, sql);
    Ok(found)
}

/// All rows of a query.
pub(super) fn rows<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(params, read)?.collect::<rusqlite::Result<Vec<T>>>()?;
    by_index(&statement, sql);
    Ok(found)
}

/// Every statement finds its rows by an index: none steps through a table. Tests and debug builds see to it.
fn by_index(statement: &rusqlite::Statement<'_>, sql: &str) {
    let steps = statement.get_status(rusqlite::StatementStatus::FullscanStep);
    debug_assert!(steps == 0 || SCANS.contains(&sql), "{steps} steps without an index: {sql}");
}

/// What may be stepped through: one row, and events that wait.
const SCANS: [&str; 1] = ["SELECT count(*) FROM outbox"];
