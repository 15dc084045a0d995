//! Writing the journal anew from the database, while the writer goes on.
//!
//! From the beginning on, the writer keeps its lines in memory too. A read transaction then sees the database and
//! how long the journal was when it looked so: everything in it is written to a new file, the lines kept since
//! follow, and the new file takes the old one's name.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek as _, SeekFrom, Write};
use std::path::Path;

use rusqlite::{Connection, Row};

use super::super::super::{Error, Result};
use super::super::row::{Key, unsigned};
use super::append::{Journal, failed};
use super::line::Line;
use crate::time::Instant;

/// Writes the journal anew; how long it is now. One caller at a time.
pub(in super::super) fn rewrite(journal: &Journal, connection: &Connection) -> Result<u64> {
    let before = {
        let mut state = journal.lock();
        state.kept = Some(Vec::new());
        state.length
    };
    let path = journal.path();
    let fresh = path.with_extension("journal.new");
    let done = dump(connection, &fresh).and_then(|seen| replace(journal, &fresh, seen.saturating_sub(before)));
    journal.lock().kept = None;
    if done.is_err() {
        // On a full disk the half is not worth its room. It may not be there at all.
        drop(std::fs::remove_file(&fresh));
    }
    done
}

/// Writes all names of one moment to a new file; the recorded length of the journal at that moment.
fn dump(connection: &Connection, fresh: &Path) -> Result<u64> {
    let fail = |error| failed("write", fresh, &error);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(fresh).map_err(fail)?);
    head(&mut out, 0).map_err(fail)?;
    let snapshot = connection.unchecked_transaction()?;
    let seen: i64 = snapshot.query_row("SELECT journal FROM totals", [], |row| row.get(0))?;
    for (sql, read) in TABLES {
        let mut statement = snapshot.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut line = Vec::new();
            read(row)?.write(&mut line).map_err(|error| Error::Database(error.to_string()))?;
            out.write_all(&line).map_err(fail)?;
        }
    }
    out.flush().map_err(fail)?;
    Ok(unsigned(seen))
}

/// The first line, of the same width for every length.
fn head(out: &mut impl Write, length: u64) -> std::io::Result<()> {
    writeln!(out, "{{\"op\":\"whole\",\"length\":{length:<20}}}")
}

/// Adds the lines that were kept, but for the first `skip` bytes, and puts the file in the journal's place.
fn replace(journal: &Journal, fresh: &Path, skip: u64) -> Result<u64> {
    let fail = |error| failed("write", fresh, &error);
    let path = journal.path();
    let mut file = OpenOptions::new().write(true).open(fresh).map_err(fail)?;
    let mut state = journal.lock();
    let kept = state.kept.take().unwrap_or_default();
    let kept = kept.get(usize::try_from(skip).unwrap_or(usize::MAX)..).unwrap_or_default();
    let length = file.seek(SeekFrom::End(0)).map_err(fail)? + kept.len() as u64;
    file.write_all(kept).map_err(fail)?;
    file.rewind().map_err(fail)?;
    head(&mut file, length).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    let file = OpenOptions::new().append(true).open(fresh).map_err(fail)?;
    std::fs::rename(fresh, path).map_err(fail)?;
    if let Some(directory) = path.parent() {
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(fail)?;
    }
    *state = super::append::Appender { file, length, whole: length, stale: false, kept: None };
    Ok(length)
}

type Read = fn(&Row<'_>) -> rusqlite::Result<Line>;

/// What is written, in an order that can be replayed. Tags come by their histories; those whose history does not
/// end with what they name (there are none, unless it was imported) come once more.
const TABLES: [(&str, Read); 4] = [
    ("SELECT name, digest, touched FROM links JOIN repositories ON repositories.id = repository", |row| {
        Ok(Line::Blob { repository: row.get(0)?, digest: row.get::<_, Key>(1)?.0, at: Instant(row.get(2)?) })
    }),
    (
        "SELECT name, digest, manifests.created, media_type FROM manifests JOIN repositories ON repositories.id = repository",
        |row| {
            Ok(Line::Manifest {
                repository: row.get(0)?,
                digest: row.get::<_, Key>(1)?.0,
                at: Instant(row.get(2)?),
                media_type: row.get(3)?,
            })
        },
    ),
    ("SELECT name, tag, digest, actor, at FROM history JOIN repositories ON repositories.id = repository", moved),
    (
        "SELECT repositories.name, tags.name, tags.digest, '', tags.updated FROM tags
         JOIN repositories ON repositories.id = tags.repository
         WHERE tags.digest IS NOT (SELECT digest FROM history
             WHERE history.repository = tags.repository AND history.tag = tags.name ORDER BY sequence DESC LIMIT 1)",
        moved,
    ),
];

fn moved(row: &Row<'_>) -> rusqlite::Result<Line> {
    let (repository, tag, at) = (row.get(0)?, row.get(1)?, Instant(row.get(4)?));
    let actor = row.get(3)?;
    Ok(match row.get::<_, Option<Key>>(2)? {
        Some(Key(digest)) => Line::Tag { repository, tag, digest, actor, at },
        None => Line::TagGone { repository, tag, actor, at },
    })
}
