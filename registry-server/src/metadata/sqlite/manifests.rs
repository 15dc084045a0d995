//! Manifests: stored with their edges in one transaction, removed with all that names them.

use oci::{Digest, RepositoryName, Tag};
use rusqlite::{Connection, params};

use super::super::{Committed, Edge, EdgeKind, Error, ManifestRow, NewManifest, Page, Result};
use super::change::{Change, row, rows};
use super::journal::Line;
use super::repositories::{self, Repository};
use super::row::{self as columns, After, Key, limit, signed, unsigned};
use super::{blobs, tags};
use crate::time::Instant;

/// The columns that [`read`] reads.
const COLUMNS: &str = "objects.digest, objects.size, objects.object,
    manifests.media_type, manifests.artifact_type, manifests.subject, manifests.created, manifests.touched";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<ManifestRow> {
    Ok(ManifestRow {
        blob: columns::blob(row)?,
        media_type: row.get(3)?,
        artifact_type: row.get(4)?,
        subject: row.get::<_, Option<Key>>(5)?.map(|subject| subject.0),
        created: Instant(row.get(6)?),
        touched: Instant(row.get(7)?),
    })
}

pub(super) fn get(connection: &Connection, name: &RepositoryName, digest: &Digest) -> Result<Option<ManifestRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM repositories
         JOIN manifests ON manifests.repository = repositories.id AND manifests.digest = ?2
         JOIN objects ON objects.digest = manifests.digest
         WHERE repositories.name = ?1"
    );
    row(connection, &sql, params![name.as_str(), Key(*digest)], read)
}

pub(super) fn page(connection: &Connection, name: &RepositoryName, page: Page<'_>) -> Result<Vec<ManifestRow>> {
    let Some(after) = After::read(page) else { return Ok(Vec::new()) };
    let Some(repository) = repositories::find(connection, name)? else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT {COLUMNS} FROM manifests JOIN objects ON objects.digest = manifests.digest
         WHERE manifests.repository = ?1 AND manifests.digest > ?2 ORDER BY manifests.digest LIMIT ?3"
    );
    rows(connection, &sql, params![repository.id, after, limit(page.limit)], read)
}

pub(super) fn edges(connection: &Connection, name: &RepositoryName, digest: &Digest) -> Result<Vec<Edge>> {
    let sql = "SELECT edges.kind, edges.child, edges.size, edges.optional FROM repositories
        JOIN edges ON edges.repository = repositories.id AND edges.parent = ?2
        WHERE repositories.name = ?1 ORDER BY edges.position";
    rows(connection, sql, params![name.as_str(), Key(*digest)], |row| {
        Ok(Edge {
            kind: row.get(0)?,
            digest: row.get::<_, Key>(1)?.0,
            size: unsigned(row.get(2)?),
            optional: row.get(3)?,
        })
    })
}

pub(super) fn put(change: &mut Change<'_>, new: &NewManifest) -> Result<Committed> {
    let repository = repositories::ensure(change, &new.repository, new.at)?;
    if !new.allow_sparse {
        refuse_absent(change, &repository, &new.edges)?;
    }
    for write in &new.tags {
        tags::check(change, &repository, write, &new.blob.digest)?;
    }
    let fresh = store(change, &repository, new)?;
    let committed = blobs::adopt(change, &new.blob, i64::from(fresh), new.at)?;
    for write in &new.tags {
        tags::write(change, &repository, &write.tag, new.blob.digest, &new.actor, new.at)?;
    }
    change.changed.push(repository.name);
    Ok(committed)
}

/// All that is referenced and must be there, and is not; each once, in the manifest's order.
fn refuse_absent(change: &Change<'_>, repository: &Repository, edges: &[Edge]) -> Result<()> {
    let mut absent = Vec::new();
    for edge in edges.iter().filter(|edge| !edge.optional) {
        if !absent.contains(&edge.digest) && !is_present(change, repository, edge)? {
            absent.push(edge.digest);
        }
    }
    if absent.is_empty() { Ok(()) } else { Err(Error::Absent(absent)) }
}

/// A list may name anything that the repository holds; a configuration or layer is fetched as a blob.
fn is_present(change: &Change<'_>, repository: &Repository, edge: &Edge) -> Result<bool> {
    match edge.kind {
        EdgeKind::Manifest => repositories::holds(change.connection(), repository.id, &edge.digest),
        EdgeKind::Config | EdgeKind::Layer => {
            let sql = "SELECT 1 FROM links WHERE repository = ?1 AND digest = ?2";
            Ok(change.row(sql, params![repository.id, Key(edge.digest)], |_| Ok(()))?.is_some())
        }
    }
}

/// Writes the row and its edges; `true` when it is new. The same bytes under another type are read anew.
fn store(change: &mut Change<'_>, repository: &Repository, new: &NewManifest) -> Result<bool> {
    let key = Key(new.blob.digest);
    let sql = "SELECT media_type FROM manifests WHERE repository = ?1 AND digest = ?2";
    let before: Option<String> = change.row(sql, params![repository.id, key], |row| row.get(0))?;
    match before {
        Some(media_type) if media_type == new.media_type => {
            let sql = "UPDATE manifests SET touched = max(touched, ?3) WHERE repository = ?1 AND digest = ?2";
            change.execute(sql, params![repository.id, key, new.at.0])?;
            return Ok(false);
        }
        Some(_) => {
            break_edges(change, repository, key, None)?;
            let sql = "UPDATE manifests SET media_type = ?3, artifact_type = ?4, annotations = ?5, subject = ?6,
                touched = max(touched, ?7) WHERE repository = ?1 AND digest = ?2";
            let subject = new.subject.map(Key);
            let artifact = (&new.artifact_type, &new.annotations);
            let values = params![repository.id, key, new.media_type, artifact.0, artifact.1, subject, new.at.0];
            change.execute(sql, values)?;
        }
        None => insert(change, repository, new)?,
    }
    make_edges(change, repository, new)?;
    recount(change, repository, key)?;
    change.lines.push(Line::Manifest {
        repository: repository.name.clone(),
        digest: new.blob.digest,
        media_type: new.media_type.clone(),
        at: new.at,
    });
    Ok(before.is_none())
}

fn insert(change: &mut Change<'_>, repository: &Repository, new: &NewManifest) -> Result<()> {
    let held = repositories::holds(change.connection(), repository.id, &new.blob.digest)?;
    let bytes = if held { 0 } else { new.blob.size };
    if bytes > 0 {
        repositories::allow(change.connection(), &new.repository, &new.quotas, bytes)?;
    }
    let sql = "INSERT INTO manifests
        (repository, digest, size, media_type, artifact_type, annotations, subject, created, touched, pins)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, 1)";
    let (key, subject) = (Key(new.blob.digest), new.subject.map(Key));
    let size = signed(new.blob.size);
    let values =
        params![repository.id, key, size, new.media_type, new.artifact_type, new.annotations, subject, new.at.0];
    change.execute(sql, values)?;
    // Its referrers have their subject now.
    let sql =
        "UPDATE manifests INDEXED BY manifests_by_subject SET pins = pins + 1 WHERE repository = ?1 AND subject = ?2";
    change.execute(sql, params![repository.id, key])?;
    change.execute("UPDATE repositories SET manifests = manifests + 1 WHERE id = ?1", [repository.id])?;
    repositories::count(change, repository, 1, signed(bytes))
}

fn make_edges(change: &Change<'_>, repository: &Repository, new: &NewManifest) -> Result<()> {
    let sql = "INSERT INTO edges (repository, parent, position, child, kind, size, optional)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    for (position, edge) in new.edges.iter().enumerate() {
        let (parent, child) = (Key(new.blob.digest), Key(edge.digest));
        let size = signed(edge.size);
        change.execute(sql, params![repository.id, parent, limit(position), child, edge.kind, size, edge.optional])?;
        let sql = "UPDATE links SET refs = refs + 1 WHERE repository = ?1 AND digest = ?2";
        change.execute(sql, params![repository.id, child])?;
        let sql = "UPDATE manifests SET pins = pins + 1 WHERE repository = ?1 AND digest = ?2";
        change.execute(sql, params![repository.id, child])?;
    }
    Ok(())
}

/// Sets a manifest's pins to what they are: its tags, its parents, its subject.
fn recount(change: &Change<'_>, repository: &Repository, digest: Key) -> Result<()> {
    let sql = "UPDATE manifests SET pins =
        (SELECT count(*) FROM tags WHERE repository = ?1 AND digest = ?2)
        + (SELECT count(*) FROM edges WHERE repository = ?1 AND child = ?2)
        + EXISTS (SELECT 1 FROM manifests AS subject
                  WHERE subject.repository = ?1 AND subject.digest = manifests.subject)
        WHERE repository = ?1 AND digest = ?2";
    change.execute(sql, params![repository.id, digest])?;
    Ok(())
}

/// What a manifest referenced is referenced no more. With `at`, manifests among it begin to wait from then.
fn break_edges(change: &Change<'_>, repository: &Repository, parent: Key, at: Option<Instant>) -> Result<()> {
    let sql = "DELETE FROM edges WHERE repository = ?1 AND parent = ?2 RETURNING child";
    let children: Vec<Key> = change.rows(sql, params![repository.id, parent], |row| row.get(0))?;
    for child in children {
        let sql = "UPDATE links SET refs = refs - 1 WHERE repository = ?1 AND digest = ?2";
        change.execute(sql, params![repository.id, child])?;
        unpin(change, repository, child, at)?;
    }
    Ok(())
}

/// One pin of a manifest less, where it is there.
pub(super) fn unpin(change: &Change<'_>, repository: &Repository, digest: Key, at: Option<Instant>) -> Result<()> {
    let sql = "UPDATE manifests SET pins = pins - 1, touched = max(touched, ?3) WHERE repository = ?1 AND digest = ?2";
    change.execute(sql, params![repository.id, digest, since(at)])?;
    Ok(())
}

fn since(at: Option<Instant>) -> i64 {
    at.map_or(i64::MIN, |at| at.0)
}

pub(super) fn touch(change: &Change<'_>, name: &RepositoryName, digest: &Digest, at: Instant) -> Result<bool> {
    let Some(repository) = repositories::find(change.connection(), name)? else { return Ok(false) };
    let sql = "UPDATE manifests SET touched = max(touched, ?3) WHERE repository = ?1 AND digest = ?2";
    Ok(change.execute(sql, params![repository.id, Key(*digest), at.0])? > 0)
}

/// How a deletion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletion {
    Done,
    /// There is none.
    Absent,
    /// A tag names it that the caller did not judge.
    Unjudged,
}

/// Removes a manifest and its tags, all of which must be in `judged`.
pub(super) fn delete(
    change: &mut Change<'_>,
    name: &RepositoryName,
    digest: &Digest,
    judged: &[Tag],
    actor: &str,
    at: Instant,
) -> Result<Deletion> {
    let Some(repository) = repositories::find(change.connection(), name)? else { return Ok(Deletion::Absent) };
    let named = tags::naming(change.connection(), &repository, digest)?;
    if !named.iter().all(|tag| judged.contains(tag)) {
        return Ok(Deletion::Unjudged);
    }
    for tag in &named {
        tags::remove(change, &repository, tag, actor, at)?;
    }
    if remove(change, &repository, *digest, Some(at))? { Ok(Deletion::Done) } else { Ok(Deletion::Absent) }
}

/// Removes a manifest that no tag names; `false` where there is none.
pub(super) fn remove(
    change: &mut Change<'_>,
    repository: &Repository,
    digest: Digest,
    at: Option<Instant>,
) -> Result<bool> {
    let key = Key(digest);
    let sql = "DELETE FROM manifests WHERE repository = ?1 AND digest = ?2 RETURNING size";
    let Some(size) = change.row(sql, params![repository.id, key], |row| row.get::<_, i64>(0))? else {
        return Ok(false);
    };
    break_edges(change, repository, key, at)?;
    let sql = "UPDATE manifests INDEXED BY manifests_by_subject
        SET pins = pins - 1, touched = max(touched, ?3) WHERE repository = ?1 AND subject = ?2";
    change.execute(sql, params![repository.id, key, since(at)])?;
    blobs::release(change, key)?;
    change.execute("UPDATE repositories SET manifests = manifests - 1 WHERE id = ?1", [repository.id])?;
    let held = repositories::holds(change.connection(), repository.id, &digest)?;
    repositories::count(change, repository, -1, if held { 0 } else { -size })?;
    change.lines.push(Line::ManifestGone { repository: repository.name.clone(), digest });
    change.changed.push(repository.name.clone());
    Ok(true)
}
