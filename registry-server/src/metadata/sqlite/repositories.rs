//! Repositories: their ids, what they hold, what the prefixes above them hold.

use oci::{Digest, RepositoryName};
use rusqlite::{Connection, params};

use super::super::{Error, Page, Quota, RepositoryRow, Result};
use super::change::{Change, row, rows};
use super::row::{Key, limit, parse, signed, unsigned};
use crate::time::Instant;

/// A repository within a transaction.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    pub(super) id: i64,
    pub(super) name: String,
}

/// The repository of a name; `None` where nothing was ever stored.
pub(super) fn find(connection: &Connection, name: &RepositoryName) -> Result<Option<Repository>> {
    let id = row(connection, "SELECT id FROM repositories WHERE name = ?1", [name.as_str()], |row| row.get(0))?;
    Ok(id.map(|id| Repository { id, name: name.as_str().to_owned() }))
}

/// The repository of an id.
pub(super) fn named(connection: &Connection, id: i64) -> Result<Repository> {
    row(connection, "SELECT name FROM repositories WHERE id = ?1", [id], |row| row.get(0))?
        .map(|name| Repository { id, name })
        .ok_or_else(|| Error::Database(format!("there is no repository {id}")))
}

/// The repository of a name, made where there is none; its life begins anew where it is empty.
pub(super) fn ensure(change: &Change<'_>, name: &RepositoryName, at: Instant) -> Result<Repository> {
    if let Some(repository) = find(change.connection(), name)? {
        let sql = "UPDATE repositories SET created = ?2 WHERE id = ?1 AND contents = 0";
        change.execute(sql, params![repository.id, at.0])?;
        return Ok(repository);
    }
    change.execute("INSERT INTO repositories (name, created) VALUES (?1, ?2)", params![name.as_str(), at.0])?;
    Ok(Repository { id: change.connection().last_insert_rowid(), name: name.as_str().to_owned() })
}

/// Whether a repository holds a digest, as a blob or as a manifest.
pub(super) fn holds(connection: &Connection, id: i64, digest: &Digest) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM links WHERE repository = ?1 AND digest = ?2)
        OR EXISTS (SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2)";
    Ok(row(connection, sql, params![id, Key(*digest)], |row| row.get(0))?.unwrap_or(false))
}

/// A digest came (`count` 1) or went (−1): a row of it, and its bytes where no other row of this repository counts them.
pub(super) fn count(change: &Change<'_>, repository: &Repository, count: i64, bytes: i64) -> Result<()> {
    let sql = "UPDATE repositories SET contents = contents + ?2, bytes = bytes + ?3 WHERE id = ?1";
    change.execute(sql, params![repository.id, count, bytes])?;
    if bytes != 0 {
        let sql = "INSERT INTO usage (prefix, bytes) VALUES (?1, ?2)
            ON CONFLICT (prefix) DO UPDATE SET bytes = bytes + excluded.bytes";
        for prefix in prefixes(&repository.name) {
            change.execute(sql, params![prefix, bytes])?;
        }
    }
    Ok(())
}

/// A name and everything above it: `a/b`, `a`, and the empty prefix.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let parents = name.match_indices('/').map(|(at, _)| &name[..at]);
    parents.chain([name, ""])
}

/// Refuses `bytes` more where that is beyond a quota.
pub(super) fn allow(connection: &Connection, name: &RepositoryName, quotas: &[Quota], bytes: u64) -> Result<()> {
    for quota in quotas.iter().filter(|quota| prefixes(name.as_str()).any(|prefix| prefix == quota.prefix)) {
        let used = used(connection, &quota.prefix)?;
        if used.saturating_add(bytes) > quota.limit {
            return Err(Error::Quota { prefix: quota.prefix.clone(), limit: quota.limit, used });
        }
    }
    Ok(())
}

/// Bytes of all repositories at or below a prefix.
pub(super) fn used(connection: &Connection, prefix: &str) -> Result<u64> {
    let used = row(connection, "SELECT bytes FROM usage WHERE prefix = ?1", [prefix], |row| row.get(0))?;
    Ok(unsigned(used.unwrap_or(0)))
}

pub(super) fn page(connection: &Connection, page: Page<'_>) -> Result<Vec<RepositoryName>> {
    let sql = "SELECT name FROM repositories INDEXED BY repositories_shown
        WHERE contents > 0 AND name > ?1 ORDER BY name LIMIT ?2";
    let names: Vec<String> =
        rows(connection, sql, params![page.after.unwrap_or(""), limit(page.limit)], |row| row.get(0))?;
    names.iter().map(|name| parse(name)).collect()
}

pub(super) fn get(connection: &Connection, name: &RepositoryName) -> Result<Option<RepositoryRow>> {
    let sql = "SELECT created, bytes, tags, manifests FROM repositories WHERE name = ?1 AND contents > 0";
    row(connection, sql, [name.as_str()], |row| {
        Ok(RepositoryRow {
            name: name.clone(),
            created: Instant(row.get(0)?),
            bytes: unsigned(row.get(1)?),
            tags: unsigned(row.get(2)?),
            manifests: unsigned(row.get(3)?),
        })
    })
}

/// Adds to what all objects take.
pub(super) fn add_total(change: &Change<'_>, bytes: i64) -> Result<()> {
    change.execute("UPDATE totals SET bytes = bytes + ?1", [bytes])?;
    Ok(())
}

pub(super) fn total_bytes(connection: &Connection) -> Result<u64> {
    let total = row(connection, "SELECT bytes FROM totals", [], |row| row.get(0))?;
    Ok(unsigned(total.unwrap_or(0)))
}

/// A difference of bytes.
pub(super) fn less(size: u64) -> i64 {
    -signed(size)
}
