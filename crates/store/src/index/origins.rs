//! Where blobs were seen: the repositories from which a layer can be fetched again, or mounted instead of sent.

use oci::Digest;
use rusqlite::params;

use super::{Durability, Index, Result};

/// A repository that had a blob when it was last asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The registry as references name it: `docker.io`, `localhost:5000`.
    pub registry: String,
    /// The repository within the registry.
    pub repository: String,
}

/// Origins that are kept of one blob: those seen last. Nobody asks more repositories than this for a mount.
const MOST_ORIGINS: i64 = 16;

impl Index {
    /// Remembers that a repository has these blobs, as of `now` (seconds since 1970).
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_origins(&self, origin: &Origin, blobs: &[Digest], now: i64) -> Result<()> {
        self.write("store where blobs are", Durability::Process, |tx| {
            let mut insert = tx.prepare_cached(
                "INSERT OR REPLACE INTO origins (blob, registry, repository, seen) VALUES (?1, ?2, ?3, ?4)",
            )?;
            let mut trim = tx.prepare_cached(
                "DELETE FROM origins WHERE blob = ?1 AND (registry, repository) NOT IN
                   (SELECT registry, repository FROM origins WHERE blob = ?1 ORDER BY seen DESC, rowid DESC LIMIT ?2)",
            )?;
            blobs.iter().try_for_each(|blob| {
                insert.execute(params![blob.to_string(), origin.registry, origin.repository, now])?;
                trim.execute(params![blob.to_string(), MOST_ORIGINS]).map(drop)
            })
        })
    }

    /// The repositories that had a blob, the one seen last first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn origins(&self, blob: &Digest) -> Result<Vec<Origin>> {
        let sql = "SELECT registry, repository FROM origins WHERE blob = ?1 ORDER BY seen DESC, rowid DESC";
        self.rows("look up where a blob is", sql, [blob.to_string()], |row| {
            Ok(Origin { registry: row.get(0)?, repository: row.get(1)? })
        })
    }

    /// Forgets that a repository has a blob: it was asked, and has not.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove_origin(&self, blob: &Digest, origin: &Origin) -> Result<()> {
        self.write("forget where a blob is", Durability::Process, |tx| {
            tx.prepare_cached("DELETE FROM origins WHERE blob = ?1 AND registry = ?2 AND repository = ?3")?
                .execute(params![blob.to_string(), origin.registry, origin.repository])
                .map(drop)
        })
    }

    /// Every blob that has an origin.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn blobs_with_origins(&self) -> Result<Vec<Digest>> {
        let texts =
            self.rows("list where blobs are", "SELECT DISTINCT blob FROM origins", [], |row| row.get::<_, String>(0))?;
        texts.iter().map(|text| self.parse("a blob with an origin", text)).collect()
    }

    /// Forgets the origins of these blobs.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove_origins(&self, blobs: &[Digest]) -> Result<()> {
        self.write("forget where blobs are", Durability::Process, |tx| {
            let mut delete = tx.prepare_cached("DELETE FROM origins WHERE blob = ?1")?;
            blobs.iter().try_for_each(|blob| delete.execute([blob.to_string()]).map(drop))
        })
    }
}
