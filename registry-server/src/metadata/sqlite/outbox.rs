//! Events that wait for delivery.

use rusqlite::{Connection, params};

use super::super::{OutboxRow, Result};
use super::change::{Change, row, rows};
use super::row::{limit, unsigned};
use crate::time::Instant;

pub(super) fn enqueue(change: &Change<'_>, events: &[String], at: Instant) -> Result<()> {
    for event in events {
        change.execute("INSERT INTO outbox (event, attempts, due) VALUES (?1, 0, ?2)", params![event, at.0])?;
    }
    Ok(())
}

pub(super) fn due(connection: &Connection, at: Instant, most: usize) -> Result<Vec<OutboxRow>> {
    let sql = "SELECT sequence, event, attempts, due FROM outbox WHERE due <= ?1 ORDER BY due, sequence LIMIT ?2";
    rows(connection, sql, params![at.0, limit(most)], |row| {
        Ok(OutboxRow { sequence: row.get(0)?, event: row.get(1)?, attempts: row.get(2)?, due: Instant(row.get(3)?) })
    })
}

pub(super) fn delivered(change: &Change<'_>, sequences: &[i64]) -> Result<()> {
    for sequence in sequences {
        change.execute("DELETE FROM outbox WHERE sequence = ?1", [sequence])?;
    }
    Ok(())
}

pub(super) fn postpone(change: &Change<'_>, sequences: &[i64], due: Instant) -> Result<()> {
    let sql = "UPDATE outbox SET attempts = attempts + 1, due = ?2 WHERE sequence = ?1";
    for sequence in sequences {
        change.execute(sql, params![sequence, due.0])?;
    }
    Ok(())
}

/// Counted by the index on `due`: as long as the outbox is short, which is how it should be.
pub(super) fn pending(connection: &Connection) -> Result<u64> {
    Ok(unsigned(row(connection, "SELECT count(*) FROM outbox", [], |row| row.get(0))?.unwrap_or(0)))
}
