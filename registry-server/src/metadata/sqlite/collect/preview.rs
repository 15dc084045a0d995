//! What a collection would take, without writing: the same cascade over counts in memory.
//! Memory is in proportion to what is found, and the rows come by the same indexes.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::super::super::{BlobRow, Collected, Cutoff, Result};
use super::super::change::{row, rows};
use super::super::repositories;
use super::super::row::{self as columns, Key, parse};
use super::{IDLE_LINKS, IDLE_MANIFESTS, IDLE_OBJECTS};

/// No limit, for a query.
const ALL: i64 = -1;

type Place = (i64, Key);

struct Preview<'c> {
    connection: &'c Connection,
    cutoff: &'c Cutoff,
    /// Manifests that would go, and those whose own references are still to be looked at.
    gone: HashSet<Place>,
    next: Vec<Place>,
    /// How many pins of manifests, references of links, uses of objects would go.
    pins: HashMap<Place, i64>,
    refs: HashMap<Place, i64>,
    uses: HashMap<Key, i64>,
    links: Vec<Place>,
}

/// Everything that repeated steps would take.
pub(in super::super) fn preview(connection: &Connection, cutoff: &Cutoff) -> Result<Collected> {
    // One snapshot for all queries; it is only read.
    let snapshot = connection.unchecked_transaction()?;
    let mut preview = Preview {
        connection: &snapshot,
        cutoff,
        gone: HashSet::new(),
        next: Vec::new(),
        pins: HashMap::new(),
        refs: HashMap::new(),
        uses: HashMap::new(),
        links: Vec::new(),
    };
    preview.manifests()?;
    preview.links()?;
    preview.collected()
}

impl Preview<'_> {
    fn manifests(&mut self) -> Result<()> {
        let Some(before) = self.cutoff.manifests else { return Ok(()) };
        for place in rows(self.connection, IDLE_MANIFESTS, params![before.0, ALL], place)? {
            self.take(place);
        }
        while let Some((repository, parent)) = self.next.pop() {
            let sql = "SELECT child FROM edges WHERE repository = ?1 AND parent = ?2";
            let children: Vec<Key> = rows(self.connection, sql, params![repository, parent], |row| row.get(0))?;
            for child in children {
                *self.refs.entry((repository, child)).or_default() += 1;
                self.unpin((repository, child), before.0)?;
            }
            let sql =
                "SELECT digest FROM manifests INDEXED BY manifests_by_subject WHERE repository = ?1 AND subject = ?2";
            let referrers: Vec<Key> = rows(self.connection, sql, params![repository, parent], |row| row.get(0))?;
            for referrer in referrers {
                self.unpin((repository, referrer), before.0)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, place: Place) {
        if self.gone.insert(place) {
            *self.uses.entry(place.1).or_default() += 1;
            self.next.push(place);
        }
    }

    /// One pin less; takes the manifest where that was the last and it is old.
    fn unpin(&mut self, place: Place, before: i64) -> Result<()> {
        let less = self.pins.entry(place).or_default();
        *less += 1;
        let less = *less;
        let sql = "SELECT pins <= ?3 AND touched <= ?4 FROM manifests WHERE repository = ?1 AND digest = ?2";
        let idle = row(self.connection, sql, params![place.0, place.1, less, before], |row| row.get(0))?;
        if idle == Some(true) {
            self.take(place);
        }
        Ok(())
    }

    fn links(&mut self) -> Result<()> {
        let before = self.cutoff.blobs.0;
        self.links = rows(self.connection, IDLE_LINKS, params![before, ALL], place)?;
        for (place, less) in &self.refs {
            let sql =
                "SELECT refs <= ?3 AND touched <= ?4 AND refs > 0 FROM links WHERE repository = ?1 AND digest = ?2";
            let idle = row(self.connection, sql, params![place.0, place.1, less, before], |row| row.get(0))?;
            if idle == Some(true) {
                self.links.push(*place);
            }
        }
        for (_, key) in &self.links {
            *self.uses.entry(*key).or_default() += 1;
        }
        Ok(())
    }

    fn objects(&self) -> Result<Vec<BlobRow>> {
        let before = self.cutoff.blobs.0;
        let mut objects = rows(self.connection, IDLE_OBJECTS, params![before, ALL], columns::blob)?;
        for (key, less) in &self.uses {
            let sql = "SELECT digest, size, object FROM objects
                WHERE digest = ?1 AND uses <= ?2 AND touched <= ?3 AND uses > 0";
            objects.extend(row(self.connection, sql, params![key, less, before], columns::blob)?);
        }
        Ok(objects)
    }

    fn collected(self) -> Result<Collected> {
        let named = |places: Vec<Place>| -> Result<Vec<_>> {
            let mut named = Vec::with_capacity(places.len());
            for (repository, key) in places {
                named.push((parse(&repositories::named(self.connection, repository)?.name)?, key.0));
            }
            named.sort();
            Ok(named)
        };
        let mut objects = self.objects()?;
        objects.sort_by_key(|object| object.digest);
        Ok(Collected {
            manifests: named(self.gone.iter().copied().collect())?,
            links: named(self.links.clone())?,
            objects,
        })
    }
}

fn place(row: &rusqlite::Row<'_>) -> rusqlite::Result<Place> {
    Ok((row.get(0)?, row.get(1)?))
}
