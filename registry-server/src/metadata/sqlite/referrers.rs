//! Manifests by their subject, as the referrers list shows them.
//! Specification: OCI distribution-spec, "Listing Referrers".

use oci::{Descriptor, Digest, RepositoryName};
use rusqlite::{Connection, Row, params};

use super::super::{Error, Page, Result};
use super::change::rows;
use super::repositories;
use super::row::{After, Key, limit, unsigned};

const COLUMNS: &str = "SELECT media_type, digest, size, artifact_type, annotations FROM manifests";

pub(super) fn page(
    connection: &Connection,
    name: &RepositoryName,
    subject: &Digest,
    artifact_type: Option<&str>,
    page: Page<'_>,
) -> Result<Vec<Descriptor>> {
    let Some(after) = After::read(page) else { return Ok(Vec::new()) };
    let Some(repository) = repositories::find(connection, name)? else { return Ok(Vec::new()) };
    let (id, subject, most) = (repository.id, Key(*subject), limit(page.limit));
    let found = match artifact_type {
        None => {
            let sql = format!(
                "{COLUMNS} INDEXED BY manifests_by_subject WHERE repository = ?1 AND subject = ?2
                 AND digest > ?3 ORDER BY digest LIMIT ?4"
            );
            rows(connection, &sql, params![id, subject, after, most], read)?
        }
        Some(kind) => {
            let sql = format!(
                "{COLUMNS} INDEXED BY manifests_by_kind WHERE repository = ?1 AND subject = ?2
                 AND artifact_type = ?5 AND digest > ?3 ORDER BY digest LIMIT ?4"
            );
            rows(connection, &sql, params![id, subject, after, most, kind], read)?
        }
    };
    found.into_iter().map(|(descriptor, annotations)| annotated(descriptor, annotations)).collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<(Descriptor, Option<String>)> {
    let mut descriptor = Descriptor::new(row.get::<_, String>(0)?, row.get::<_, Key>(1)?.0, unsigned(row.get(2)?));
    descriptor.artifact_type = row.get(3)?;
    Ok((descriptor, row.get(4)?))
}

fn annotated(mut descriptor: Descriptor, annotations: Option<String>) -> Result<Descriptor> {
    if let Some(text) = annotations {
        descriptor.annotations = serde_json::from_str(&text)
            .map_err(|error| Error::Database(format!("annotations of {}: {error}", descriptor.digest)))?;
    }
    Ok(descriptor)
}
