//! How values lie in columns.

use oci::{Algorithm, Digest};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};

use super::super::{BlobRow, EdgeKind, Error, Page, Result};
use crate::storage::ObjectKey;

/// A digest as a column holds it: a byte for the algorithm, then the raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) Digest);

/// The algorithm's byte. Digests sort as their texts do.
pub(super) fn algorithm_code(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha256 => 1,
        Algorithm::Sha512 => 2,
    }
}

/// The algorithm of a byte.
pub(super) fn algorithm(code: u8) -> Option<Algorithm> {
    match code {
        1 => Some(Algorithm::Sha256),
        2 => Some(Algorithm::Sha512),
        _ => None,
    }
}

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let mut bytes = Vec::with_capacity(65);
        bytes.push(algorithm_code(self.0.algorithm()));
        bytes.extend_from_slice(self.0.as_bytes());
        Ok(ToSqlOutput::Owned(Value::Blob(bytes)))
    }
}

impl FromSql for Key {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let (code, raw) = value.as_blob()?.split_first().ok_or(FromSqlError::InvalidType)?;
        let algorithm = algorithm(*code).ok_or(FromSqlError::InvalidType)?;
        Digest::from_bytes(algorithm, raw).map(Key).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for EdgeKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let code: i64 = match self {
            EdgeKind::Config => 1,
            EdgeKind::Layer => 2,
            EdgeKind::Manifest => 3,
        };
        Ok(ToSqlOutput::Owned(Value::Integer(code)))
    }
}

impl FromSql for EdgeKind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            1 => Ok(EdgeKind::Config),
            2 => Ok(EdgeKind::Layer),
            3 => Ok(EdgeKind::Manifest),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}

/// A count for a column; SQLite's integers have a sign.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count of a column.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// A limit for a query.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A name from a column that only valid ones went into.
pub(super) fn parse<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::Database(format!("a row holds {text:?}, which is no name")))
}

/// A blob's row from the columns digest, size, object.
pub(super) fn blob(row: &rusqlite::Row<'_>) -> rusqlite::Result<BlobRow> {
    Ok(BlobRow { digest: row.get::<_, Key>(0)?.0, size: unsigned(row.get(1)?), key: ObjectKey(row.get(2)?) })
}

/// Where a page of digests begins.
pub(super) enum After {
    Start,
    Digest(Key),
}

impl After {
    /// `None` for a text that is no digest: nothing comes after it.
    pub(super) fn read(page: Page<'_>) -> Option<Self> {
        match page.after {
            None => Some(After::Start),
            Some(text) => text.parse().ok().map(|digest| After::Digest(Key(digest))),
        }
    }
}

impl ToSql for After {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            After::Start => Ok(ToSqlOutput::Owned(Value::Blob(Vec::new()))),
            After::Digest(key) => key.to_sql(),
        }
    }
}
