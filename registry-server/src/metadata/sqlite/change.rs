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
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
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
    Ok(connection.prepare_cached(sql)?.query_row(params, read).optional()?)
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
    Ok(found)
}
