//! Whether the rows agree with one another: counters are counted again, references looked up.
//!
//! Reads whole tables in one snapshot; for checks, never on a request's way.

use rusqlite::Connection;

use super::super::Result;

/// Disagreements of one kind that are told one by one; there may be one a row.
const TOLD: i64 = 20;

/// What must not be: a sentence, and a query for what it is about. Digests are shown in hexadecimal after the
/// algorithm's byte (01 sha256, 02 sha512).
const RULES: &[(&str, &str)] = &[
    (
        "an object counts other uses than there are",
        "SELECT hex(o.digest) FROM objects o LEFT JOIN
           (SELECT digest, count(*) AS uses FROM
             (SELECT digest FROM links UNION ALL SELECT digest FROM manifests) GROUP BY digest) u
         ON u.digest = o.digest WHERE o.uses <> ifnull(u.uses, 0)",
    ),
    (
        "a blob's link has no object",
        "SELECT r.name || ' ' || hex(l.digest) FROM links l JOIN repositories r ON r.id = l.repository
         WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.digest = l.digest)",
    ),
    (
        "a manifest has no object",
        "SELECT r.name || ' ' || hex(m.digest) FROM manifests m JOIN repositories r ON r.id = m.repository
         WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.digest = m.digest)",
    ),
    (
        "a blob counts other references than there are",
        "SELECT r.name || ' ' || hex(l.digest) FROM links l JOIN repositories r ON r.id = l.repository
         WHERE l.refs <> (SELECT count(*) FROM edges e WHERE e.repository = l.repository AND e.child = l.digest)",
    ),
    (
        "a manifest counts other pins than there are",
        "SELECT r.name || ' ' || hex(m.digest) FROM manifests m JOIN repositories r ON r.id = m.repository
         WHERE m.pins <>
             (SELECT count(*) FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest)
           + (SELECT count(*) FROM edges e WHERE e.repository = m.repository AND e.child = m.digest)
           + (m.subject IS NOT NULL AND EXISTS
               (SELECT 1 FROM manifests s WHERE s.repository = m.repository AND s.digest = m.subject))",
    ),
    (
        "a tag names a manifest that is not there",
        "SELECT r.name || ':' || t.name FROM tags t JOIN repositories r ON r.id = t.repository
         WHERE NOT EXISTS (SELECT 1 FROM manifests m WHERE m.repository = t.repository AND m.digest = t.digest)",
    ),
    (
        "a reference is of a manifest that is not there",
        "SELECT DISTINCT r.name || ' ' || hex(e.parent) FROM edges e JOIN repositories r ON r.id = e.repository
         WHERE NOT EXISTS (SELECT 1 FROM manifests m WHERE m.repository = e.repository AND m.digest = e.parent)",
    ),
    (
        "a repository counts other contents, manifests or tags than there are",
        "SELECT r.name FROM repositories r WHERE
             r.manifests <> (SELECT count(*) FROM manifests m WHERE m.repository = r.id)
          OR r.tags <> (SELECT count(*) FROM tags t WHERE t.repository = r.id)
          OR r.contents <> (SELECT count(*) FROM manifests m WHERE m.repository = r.id)
                         + (SELECT count(*) FROM links l WHERE l.repository = r.id)",
    ),
    (
        "a repository counts other bytes than it holds",
        "SELECT r.name FROM repositories r WHERE r.bytes <> (SELECT ifnull(sum(size), 0) FROM
             (SELECT digest, size FROM links l WHERE l.repository = r.id
              UNION SELECT digest, size FROM manifests m WHERE m.repository = r.id))",
    ),
    (
        "a prefix counts other bytes than its repositories hold",
        "SELECT '`' || u.prefix || '`' FROM usage u WHERE u.bytes <> (SELECT ifnull(sum(r.bytes), 0) FROM repositories r
             WHERE u.prefix = '' OR r.name = u.prefix OR substr(r.name, 1, length(u.prefix) + 1) = u.prefix || '/')",
    ),
    (
        "the total is not the sum of all objects",
        "SELECT bytes FROM totals WHERE bytes <> (SELECT ifnull(sum(size), 0) FROM objects)",
    ),
    (
        "a row belongs to a repository that is not there",
        "SELECT DISTINCT repository FROM (SELECT repository FROM links UNION SELECT repository FROM manifests
             UNION SELECT repository FROM tags UNION SELECT repository FROM edges)
         WHERE repository NOT IN (SELECT id FROM repositories)",
    ),
];

/// What does not agree, in sentences.
pub(super) fn check(connection: &Connection) -> Result<Vec<String>> {
    let snapshot = connection.unchecked_transaction()?;
    let mut found = Vec::new();
    let mut statement = snapshot.prepare("PRAGMA integrity_check(20)")?;
    for line in statement.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            found.push(format!("the database is damaged: {line}"));
        }
    }
    for (sentence, query) in RULES {
        let mut statement =
            snapshot.prepare(&format!("WITH told(what) AS ({query}) SELECT CAST(what AS TEXT) FROM told LIMIT ?1"))?;
        for line in statement.query_map([TOLD], |row| row.get::<_, String>(0))? {
            found.push(format!("{sentence}: {}", line?));
        }
    }
    Ok(found)
}
