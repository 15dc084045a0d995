//! Objects, and the links that show them in repositories.

use oci::{Digest, RepositoryName};
use rusqlite::{Connection, params};

use super::super::{BlobRow, Committed, Page, Quota, Result};
use super::change::{Change, row, rows};
use super::journal::Line;
use super::repositories::{self, Repository};
use super::row::{self as columns, After, Key, limit, parse, signed, unsigned};
use crate::storage::ObjectKey;
use crate::time::Instant;

/// A blob that a repository shows by a link.
pub(super) fn get(connection: &Connection, name: &RepositoryName, digest: &Digest) -> Result<Option<BlobRow>> {
    let sql = "SELECT objects.digest, objects.size, objects.object
        FROM repositories
        JOIN links ON links.repository = repositories.id AND links.digest = ?2
        JOIN objects ON objects.digest = links.digest
        WHERE repositories.name = ?1";
    row(connection, sql, params![name.as_str(), Key(*digest)], columns::blob)
}

/// Bytes that are present anywhere.
pub(super) fn object(connection: &Connection, digest: &Digest) -> Result<Option<BlobRow>> {
    row(connection, "SELECT digest, size, object FROM objects WHERE digest = ?1", [Key(*digest)], columns::blob)
}

/// All objects by digest.
pub(super) fn objects(connection: &Connection, page: Page<'_>) -> Result<Vec<BlobRow>> {
    let Some(after) = After::read(page) else { return Ok(Vec::new()) };
    let sql = "SELECT digest, size, object FROM objects WHERE digest > ?1 ORDER BY digest LIMIT ?2";
    rows(connection, sql, params![after, limit(page.limit)], columns::blob)
}

pub(super) fn touched(connection: &Connection, name: &RepositoryName, digest: &Digest) -> Result<Option<Instant>> {
    let sql = "SELECT links.touched FROM repositories
        JOIN links ON links.repository = repositories.id AND links.digest = ?2
        WHERE repositories.name = ?1";
    row(connection, sql, params![name.as_str(), Key(*digest)], |row| Ok(Instant(row.get(0)?)))
}

pub(super) fn holders(connection: &Connection, digest: &Digest, most: usize) -> Result<Vec<RepositoryName>> {
    let sql = "SELECT repositories.name FROM links JOIN repositories ON repositories.id = links.repository
        WHERE links.digest = ?1 LIMIT ?2";
    let names: Vec<String> = rows(connection, sql, params![Key(*digest), limit(most)], |row| row.get(0))?;
    names.iter().map(|name| parse(name)).collect()
}

/// One more row names an object (`uses` 1), or a row that named it already does again (0). Made where there is none.
pub(super) fn adopt(change: &Change<'_>, blob: &BlobRow, uses: i64, at: Instant) -> Result<Committed> {
    let sql = "UPDATE objects SET uses = uses + ?2, touched = max(touched, ?3) WHERE digest = ?1 RETURNING object";
    let held: Option<String> = change.row(sql, params![Key(blob.digest), uses, at.0], |row| row.get(0))?;
    match held {
        Some(object) if object == blob.key.0 => Ok(Committed::Stored),
        Some(object) => Ok(Committed::Existed(ObjectKey(object))),
        None => {
            let sql = "INSERT INTO objects (digest, size, object, uses, touched) VALUES (?1, ?2, ?3, ?4, ?5)";
            change.execute(sql, params![Key(blob.digest), signed(blob.size), blob.key.0, uses, at.0])?;
            repositories::add_total(change, signed(blob.size))?;
            Ok(Committed::Stored)
        }
    }
}

/// Forgets an object that no row names; `false` where one does, or there is none.
pub(super) fn forget(change: &Change<'_>, digest: &Digest) -> Result<bool> {
    let sql = "DELETE FROM objects WHERE digest = ?1 AND uses = 0 RETURNING size";
    let size: Option<i64> = change.row(sql, [Key(*digest)], |row| row.get(0))?;
    if let Some(size) = size {
        repositories::add_total(change, -size)?;
    }
    Ok(size.is_some())
}

/// One row less names an object.
pub(super) fn release(change: &Change<'_>, digest: Key) -> Result<()> {
    change.execute("UPDATE objects SET uses = uses - 1 WHERE digest = ?1", [digest])?;
    Ok(())
}

pub(super) fn link(
    change: &mut Change<'_>,
    name: &RepositoryName,
    blob: &BlobRow,
    quotas: &[Quota],
    at: Instant,
) -> Result<Committed> {
    let repository = repositories::ensure(change, name, at)?;
    let fresh = show(change, &repository, name, (blob.digest, blob.size), quotas, at)?;
    adopt(change, blob, i64::from(fresh), at)
}

pub(super) fn mount(
    change: &mut Change<'_>,
    name: &RepositoryName,
    digest: &Digest,
    from: &RepositoryName,
    quotas: &[Quota],
    at: Instant,
) -> Result<bool> {
    let Some(blob) = get(change.connection(), from, digest)? else {
        return Ok(false);
    };
    link(change, name, &blob, quotas, at)?;
    Ok(true)
}

/// Makes or renews a link; `true` when it is new.
fn show(
    change: &mut Change<'_>,
    repository: &Repository,
    name: &RepositoryName,
    (digest, size): (Digest, u64),
    quotas: &[Quota],
    at: Instant,
) -> Result<bool> {
    if renew(change, repository, &digest, at)? {
        return Ok(false);
    }
    let bytes = if repositories::holds(change.connection(), repository.id, &digest)? { 0 } else { size };
    if bytes > 0 {
        repositories::allow(change.connection(), name, quotas, bytes)?;
    }
    // Manifests may have named it before it came.
    let sql = "INSERT INTO links (repository, digest, size, refs, touched)
        VALUES (?1, ?2, ?3, (SELECT count(*) FROM edges WHERE repository = ?1 AND child = ?2), ?4)";
    change.execute(sql, params![repository.id, Key(digest), signed(size), at.0])?;
    repositories::count(change, repository, 1, signed(bytes))?;
    change.lines.push(Line::Blob { repository: repository.name.clone(), digest, at });
    Ok(true)
}

fn renew(change: &Change<'_>, repository: &Repository, digest: &Digest, at: Instant) -> Result<bool> {
    let sql = "UPDATE links SET touched = max(touched, ?3) WHERE repository = ?1 AND digest = ?2";
    Ok(change.execute(sql, params![repository.id, Key(*digest), at.0])? > 0)
}

pub(super) fn touch(change: &Change<'_>, name: &RepositoryName, digest: &Digest, at: Instant) -> Result<bool> {
    match repositories::find(change.connection(), name)? {
        Some(repository) => renew(change, &repository, digest, at),
        None => Ok(false),
    }
}

pub(super) fn unlink(change: &mut Change<'_>, name: &RepositoryName, digest: &Digest) -> Result<bool> {
    match repositories::find(change.connection(), name)? {
        Some(repository) => hide(change, &repository, *digest),
        None => Ok(false),
    }
}

/// Removes a link; `false` where there is none.
pub(super) fn hide(change: &mut Change<'_>, repository: &Repository, digest: Digest) -> Result<bool> {
    let sql = "DELETE FROM links WHERE repository = ?1 AND digest = ?2 RETURNING size";
    let Some(size) = change.row(sql, params![repository.id, Key(digest)], |row| row.get::<_, i64>(0))? else {
        return Ok(false);
    };
    release(change, Key(digest))?;
    let counted = repositories::holds(change.connection(), repository.id, &digest)?;
    let bytes = if counted { 0 } else { repositories::less(unsigned(size)) };
    repositories::count(change, repository, -1, bytes)?;
    change.lines.push(Line::BlobGone { repository: repository.name.clone(), digest });
    Ok(true)
}
