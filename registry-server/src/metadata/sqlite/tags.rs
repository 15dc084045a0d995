//! Tags, and what they have named.

use oci::{Digest, RepositoryName, Tag};
use rusqlite::{Connection, params};

use super::super::{Error, Existing, HistoryRow, Page, Result, TagRow, TagWrite};
use super::change::{Change, row, rows};
use super::journal::Line;
use super::manifests;
use super::repositories::{self, Repository};
use super::row::{Key, limit, parse};
use crate::time::Instant;

/// How much of a tag's history is kept: a tag that moves every ten minutes is remembered for a week.
const HISTORY: i64 = 1_000;

type Columns = (String, Key, i64);

fn columns(row: &rusqlite::Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn tag_row((name, digest, updated): Columns) -> Result<TagRow> {
    Ok(TagRow { tag: parse(&name)?, digest: digest.0, updated: Instant(updated) })
}

pub(super) fn page(connection: &Connection, name: &RepositoryName, page: Page<'_>) -> Result<Vec<TagRow>> {
    let Some(repository) = repositories::find(connection, name)? else { return Ok(Vec::new()) };
    let sql = "SELECT name, digest, updated FROM tags WHERE repository = ?1 AND name > ?2 ORDER BY name LIMIT ?3";
    let values = params![repository.id, page.after.unwrap_or(""), limit(page.limit)];
    rows(connection, sql, values, columns)?.into_iter().map(tag_row).collect()
}

pub(super) fn get(connection: &Connection, name: &RepositoryName, tag: &Tag) -> Result<Option<TagRow>> {
    let sql = "SELECT tags.name, tags.digest, tags.updated FROM repositories
        JOIN tags ON tags.repository = repositories.id AND tags.name = ?2
        WHERE repositories.name = ?1";
    row(connection, sql, params![name.as_str(), tag.as_str()], columns)?.map(tag_row).transpose()
}

/// Tags that name a manifest.
pub(super) fn naming(connection: &Connection, repository: &Repository, digest: &Digest) -> Result<Vec<Tag>> {
    let sql = "SELECT name FROM tags WHERE repository = ?1 AND digest = ?2 ORDER BY name";
    let names: Vec<String> = rows(connection, sql, params![repository.id, Key(*digest)], |row| row.get(0))?;
    names.iter().map(|name| parse(name)).collect()
}

fn current(change: &Change<'_>, repository: &Repository, tag: &Tag) -> Result<Option<Key>> {
    let sql = "SELECT digest FROM tags WHERE repository = ?1 AND name = ?2";
    change.row(sql, params![repository.id, tag.as_str()], |row| row.get(0))
}

/// Refuses a write that the tag's present state forbids. Naming again what it names is no update.
pub(super) fn check(change: &Change<'_>, repository: &Repository, write: &TagWrite, digest: &Digest) -> Result<()> {
    let elsewhere = current(change, repository, &write.tag)?.is_some_and(|present| present.0 != *digest);
    match write.existing {
        Existing::Deny if elsewhere => Err(Error::UpdateDenied(write.tag.as_str().to_owned())),
        Existing::Immutable if elsewhere => Err(Error::Immutable(write.tag.as_str().to_owned())),
        Existing::Move | Existing::Deny | Existing::Immutable => Ok(()),
    }
}

/// Makes or moves a tag onto a manifest that is there.
pub(super) fn write(
    change: &mut Change<'_>,
    repository: &Repository,
    tag: &Tag,
    digest: Digest,
    actor: &str,
    at: Instant,
) -> Result<()> {
    match current(change, repository, tag)? {
        Some(present) if present.0 == digest => return Ok(()),
        Some(before) => {
            manifests::unpin(change, repository, before, Some(at))?;
            let sql = "UPDATE tags SET digest = ?3, updated = ?4 WHERE repository = ?1 AND name = ?2";
            change.execute(sql, params![repository.id, tag.as_str(), Key(digest), at.0])?;
        }
        None => {
            let sql = "INSERT INTO tags (repository, name, digest, updated) VALUES (?1, ?2, ?3, ?4)";
            change.execute(sql, params![repository.id, tag.as_str(), Key(digest), at.0])?;
            change.execute("UPDATE repositories SET tags = tags + 1 WHERE id = ?1", [repository.id])?;
        }
    }
    let sql = "UPDATE manifests SET pins = pins + 1 WHERE repository = ?1 AND digest = ?2";
    change.execute(sql, params![repository.id, Key(digest)])?;
    remember(change, repository, tag, Some(digest), actor, at)?;
    change.lines.push(Line::Tag {
        repository: repository.name.clone(),
        tag: tag.as_str().to_owned(),
        digest,
        actor: actor.to_owned(),
        at,
    });
    Ok(())
}

pub(super) fn set(
    change: &mut Change<'_>,
    name: &RepositoryName,
    write_: &TagWrite,
    digest: &Digest,
    actor: &str,
    at: Instant,
) -> Result<bool> {
    let Some(repository) = repositories::find(change.connection(), name)? else { return Ok(false) };
    if !manifests::touch(change, name, digest, at)? {
        return Ok(false);
    }
    check(change, &repository, write_, digest)?;
    write(change, &repository, &write_.tag, *digest, actor, at)?;
    change.changed.push(repository.name);
    Ok(true)
}

pub(super) fn delete(
    change: &mut Change<'_>,
    name: &RepositoryName,
    tag: &Tag,
    expected: Option<&Digest>,
    actor: &str,
    at: Instant,
) -> Result<bool> {
    let Some(repository) = repositories::find(change.connection(), name)? else { return Ok(false) };
    if expected.is_some() && current(change, &repository, tag)?.map(|present| present.0) != expected.copied() {
        return Ok(false);
    }
    remove(change, &repository, tag, actor, at)
}

/// Removes a tag; what it named begins to wait for the collector. `false` where there is none.
pub(super) fn remove(
    change: &mut Change<'_>,
    repository: &Repository,
    tag: &Tag,
    actor: &str,
    at: Instant,
) -> Result<bool> {
    let sql = "DELETE FROM tags WHERE repository = ?1 AND name = ?2 RETURNING digest";
    let Some(digest) = change.row(sql, params![repository.id, tag.as_str()], |row| row.get::<_, Key>(0))? else {
        return Ok(false);
    };
    manifests::unpin(change, repository, digest, Some(at))?;
    change.execute("UPDATE repositories SET tags = tags - 1 WHERE id = ?1", [repository.id])?;
    remember(change, repository, tag, None, actor, at)?;
    change.lines.push(Line::TagGone {
        repository: repository.name.clone(),
        tag: tag.as_str().to_owned(),
        actor: actor.to_owned(),
        at,
    });
    change.changed.push(repository.name.clone());
    Ok(true)
}

fn remember(
    change: &Change<'_>,
    repository: &Repository,
    tag: &Tag,
    digest: Option<Digest>,
    actor: &str,
    at: Instant,
) -> Result<()> {
    let sql = "INSERT INTO history (repository, tag, sequence, digest, at, actor) VALUES (?1, ?2,
        (SELECT coalesce(max(sequence), 0) + 1 FROM history WHERE repository = ?1 AND tag = ?2), ?3, ?4, ?5)
        RETURNING sequence";
    let values = params![repository.id, tag.as_str(), digest.map(Key), at.0, actor];
    let sequence = change.row(sql, values, |row| row.get::<_, i64>(0))?.unwrap_or(0);
    let sql = "DELETE FROM history WHERE repository = ?1 AND tag = ?2 AND sequence <= ?3";
    change.execute(sql, params![repository.id, tag.as_str(), sequence - HISTORY])?;
    Ok(())
}

pub(super) fn history(
    connection: &Connection,
    name: &RepositoryName,
    tag: &Tag,
    most: usize,
) -> Result<Vec<HistoryRow>> {
    let Some(repository) = repositories::find(connection, name)? else { return Ok(Vec::new()) };
    let sql = "SELECT sequence, digest, at, actor FROM history WHERE repository = ?1 AND tag = ?2
        ORDER BY sequence DESC LIMIT ?3";
    rows(connection, sql, params![repository.id, tag.as_str(), limit(most)], |row| {
        Ok(HistoryRow {
            sequence: row.get(0)?,
            digest: row.get::<_, Option<Key>>(1)?.map(|digest| digest.0),
            at: Instant(row.get(2)?),
            actor: row.get(3)?,
        })
    })
}
