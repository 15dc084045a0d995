//! Uploads in the making, in a database of their own: their rows survive a killed process without a sync each.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Row, params};

use super::super::{Error, Result, UploadRow};
use super::change::{row, rows};
use super::row::{algorithm, algorithm_code, limit, parse, signed, unsigned};
use super::schema::UPLOADS;
use crate::storage::UploadId;
use crate::time::Instant;

const COLUMNS: &str = "SELECT id, repository, owner, algorithm, received, hash_state, started, touched FROM uploads";

/// The database of uploads. A statement takes tens of microseconds and no sync, so that one connection serves all.
#[derive(Debug)]
pub(super) struct Uploads(Mutex<Connection>);

/// What a row holds, before its texts are read.
type Columns = (String, String, String, u8, i64, Vec<u8>, i64, i64);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    let times = (row.get(6)?, row.get(7)?);
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, times.0, times.1))
}

fn read((id, repository, owner, code, received, hash_state, started, touched): Columns) -> Result<UploadRow> {
    let damaged = || Error::Database(format!("the row of upload {id} is damaged"));
    Ok(UploadRow {
        id: UploadId::parse(&id).ok_or_else(damaged)?,
        repository: parse(&repository)?,
        owner,
        algorithm: algorithm(code).ok_or_else(damaged)?,
        offset: unsigned(received),
        hash_state,
        started: Instant(started),
        touched: Instant(touched),
    })
}

impl Uploads {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self(Mutex::new(UPLOADS.open(path)?)))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, upload: &UploadRow) -> Result<()> {
        let sql = "INSERT INTO uploads (id, repository, owner, algorithm, received, hash_state, started, touched)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.lock().prepare_cached(sql)?.execute(params![
            upload.id.as_str(),
            upload.repository.as_str(),
            upload.owner,
            algorithm_code(upload.algorithm),
            signed(upload.offset),
            upload.hash_state,
            upload.started.0,
            upload.touched.0,
        ])?;
        Ok(())
    }

    pub(super) fn get(&self, id: &UploadId) -> Result<Option<UploadRow>> {
        let sql = format!("{COLUMNS} WHERE id = ?1");
        row(&self.lock(), &sql, [id.as_str()], columns)?.map(read).transpose()
    }

    pub(super) fn advance(&self, id: &UploadId, offset: u64, hash_state: &[u8], at: Instant) -> Result<()> {
        let sql = "UPDATE uploads SET received = ?2, hash_state = ?3, touched = ?4 WHERE id = ?1";
        let values = params![id.as_str(), signed(offset), hash_state, at.0];
        self.lock().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    pub(super) fn end(&self, id: &UploadId) -> Result<bool> {
        Ok(self.lock().prepare_cached("DELETE FROM uploads WHERE id = ?1")?.execute([id.as_str()])? > 0)
    }

    pub(super) fn stale(&self, before: Instant, most: usize) -> Result<Vec<UploadRow>> {
        let sql = format!("{COLUMNS} WHERE touched < ?1 ORDER BY touched LIMIT ?2");
        rows(&self.lock(), &sql, params![before.0, limit(most)], columns)?.into_iter().map(read).collect()
    }
}
