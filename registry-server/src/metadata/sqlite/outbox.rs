//! Events that wait for delivery.

use rusqlite::{Connection, params};

use super::super::{OutboxRow, Result};
use super::change::{Change, rows};
use super::row::limit;
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

pub(super) fn delivered(change: &Change<'_>, sequence: i64) -> Result<()> {
    change.execute("DELETE FROM outbox WHERE sequence = ?1", [sequence])?;
    Ok(())
}

pub(super) fn postpone(change: &Change<'_>, sequence: i64, due: Instant) -> Result<()> {
    let sql = "UPDATE outbox SET attempts = attempts + 1, due = ?2 WHERE sequence = ?1";
    change.execute(sql, params![sequence, due.0])?;
    Ok(())
}
