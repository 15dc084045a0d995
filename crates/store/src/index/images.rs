//! Names of images.

use oci::Digest;
use rusqlite::params;

use super::{Durability, Index, Result};

/// A name and the manifest it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRow {
    /// The canonical reference.
    pub name: String,
    /// The digest of its manifest or index.
    pub manifest: Digest,
    /// When the name was given, in seconds since 1970.
    pub created: i64,
}

impl Index {
    /// Lets `name` stand for `manifest`, durably. Gives the manifest it stood for before.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_image(&self, name: &str, manifest: &Digest, created: i64) -> Result<Option<Digest>> {
        let before = self.image(name)?.map(|row| row.manifest);
        self.write("name an image", Durability::Power, |tx| {
            tx.prepare_cached("INSERT OR REPLACE INTO images (name, manifest, created) VALUES (?1, ?2, ?3)")?
                .execute(params![name, manifest.to_string(), created])
        })?;
        Ok(before)
    }

    /// What a name stands for.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn image(&self, name: &str) -> Result<Option<ImageRow>> {
        let sql = "SELECT name, manifest, created FROM images WHERE name = ?1";
        let row =
            self.row("look up an image", sql, [name], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?)))?;
        row.map(|row| self.image_row(row)).transpose()
    }

    /// All names, sorted.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn images(&self) -> Result<Vec<ImageRow>> {
        let sql = "SELECT name, manifest, created FROM images ORDER BY name";
        let rows =
            self.rows("list the images", sql, [], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?)))?;
        rows.into_iter().map(|row| self.image_row(row)).collect()
    }

    /// Forgets a name; tells whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove_image(&self, name: &str) -> Result<bool> {
        self.write("remove an image", Durability::Power, |tx| {
            Ok(tx.execute("DELETE FROM images WHERE name = ?1", [name])? > 0)
        })
    }

    fn image_row(&self, (name, manifest, created): (String, String, i64)) -> Result<ImageRow> {
        Ok(ImageRow { name, manifest: self.parse("an image's manifest", &manifest)?, created })
    }
}
