//! What nothing pins any more, found by index.

mod preview;

use rusqlite::params;

use super::super::{BlobRow, Collected, Cutoff, Result};
use super::change::Change;
use super::repositories::{self, Repository};
use super::row::{self as columns, Key, limit, signed};
use super::{blobs, manifests};

pub(super) use preview::preview;

/// Manifests that nothing pins, untouched up to a moment.
const IDLE_MANIFESTS: &str =
    "SELECT repository, digest FROM manifests WHERE pins = 0 AND touched <= ?1 ORDER BY touched LIMIT ?2";
/// Links that no manifest references.
const IDLE_LINKS: &str =
    "SELECT repository, digest FROM links WHERE refs = 0 AND touched <= ?1 ORDER BY touched LIMIT ?2";
/// Objects that nothing names.
const IDLE_OBJECTS: &str =
    "SELECT digest, size, object FROM objects WHERE uses = 0 AND touched <= ?1 ORDER BY touched LIMIT ?2";

/// Takes at most `cutoff.limit` rows: manifests first, then links, then objects. What that frees, the next step finds.
pub(super) fn step(change: &mut Change<'_>, cutoff: &Cutoff) -> Result<Collected> {
    let mut collected = Collected::default();
    let mut left = cutoff.limit;
    if let Some(before) = cutoff.manifests {
        for (repository, key) in idle(change, IDLE_MANIFESTS, before.0, left)? {
            manifests::remove(change, &repository, key.0, None)?;
            collected.manifests.push((columns::parse(&repository.name)?, key.0));
        }
    }
    left -= collected.manifests.len();
    for (repository, key) in idle(change, IDLE_LINKS, cutoff.blobs.0, left)? {
        blobs::hide(change, &repository, key.0)?;
        collected.links.push((columns::parse(&repository.name)?, key.0));
    }
    left -= collected.links.len();
    let objects: Vec<BlobRow> = change.rows(IDLE_OBJECTS, params![cutoff.blobs.0, limit(left)], columns::blob)?;
    for object in objects {
        change.execute("DELETE FROM objects WHERE digest = ?1", [Key(object.digest)])?;
        repositories::add_total(change, -signed(object.size))?;
        collected.objects.push(object);
    }
    Ok(collected)
}

/// Idle rows of repositories.
fn idle(change: &Change<'_>, sql: &str, before: i64, most: usize) -> Result<Vec<(Repository, Key)>> {
    let found: Vec<(i64, Key)> =
        change.rows(sql, params![before, limit(most)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.into_iter().map(|(id, key)| Ok((repositories::named(change.connection(), id)?, key))).collect()
}
