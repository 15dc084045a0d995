//! Layers: in which forms each one exists.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use oci::Digest;
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use super::{Durability, Error, Index, Result};
use crate::random;

/// The name of a layer in this store: thirty-two hexadecimal digits, minted at random. What a layer
/// *is* across stores is its DiffId, which is known only once somebody asked for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerId(String);

impl LayerId {
    /// A name that no layer has.
    pub fn mint() -> Self {
        Self(random::hex32())
    }

    /// The name as text, safe as a file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LayerId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(hex) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("{text:?} is not a layer id"))
    }
}

impl TryFrom<String> for LayerId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LayerId> for String {
    fn from(id: LayerId) -> Self {
        id.0
    }
}

/// A layer as a tree under `snapshots/<id>/fs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeForm {
    /// The boot in which the tree was written, while it is not synced: after another boot it may be
    /// torn, and is dead. `None`: synced.
    pub boot: Option<String>,
}

/// A layer as a blob, compressed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobForm {
    /// The blob.
    pub digest: Digest,
    /// Its media type, which names its compression.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A layer and the forms it exists in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRow {
    /// Its name here.
    pub id: LayerId,
    /// As a tree.
    pub tree: Option<TreeForm>,
    /// As a blob.
    pub blob: Option<BlobForm>,
    /// The size of its uncompressed tar in bytes; 0 while unknown.
    pub size: u64,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

impl LayerRow {
    /// Drops the tree form when it was written in another boot than `boot` and never synced. What is
    /// left is usable; a layer with neither form is gone.
    #[must_use]
    pub fn alive(mut self, boot: &str) -> Option<Self> {
        let torn = |tree: &TreeForm| tree.boot.as_deref().is_some_and(|written| written != boot);
        if self.tree.as_ref().is_some_and(torn) {
            self.tree = None;
        }
        (self.tree.is_some() || self.blob.is_some()).then_some(self)
    }

    /// Whether the store knows what the layer is and where it can be had, and has no byte of it.
    pub fn is_elsewhere(&self) -> bool {
        self.tree.is_none() && self.blob.is_none()
    }
}

/// The id of this boot of the kernel.
///
/// # Errors
/// [`Error::BootId`] where `/proc` is not mounted.
pub fn boot_id() -> Result<String> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(Error::BootId { path: path.to_path_buf(), source }),
    }
}

const COLUMNS: &str = "id, tree, boot, blob, media_type, blob_size, size, created";

impl Index {
    /// Stores a layer. One that exists gains the new form and keeps its other one. A row with a blob or
    /// a synced tree is durable on return.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_layer(&self, layer: &LayerRow) -> Result<()> {
        let synced = layer.tree.as_ref().is_some_and(|tree| tree.boot.is_none());
        let durable = synced || layer.blob.is_some();
        let durability = if durable { Durability::Power } else { Durability::Process };
        self.write("store a layer", durability, |tx| put(tx, layer))
    }

    /// One layer.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn layer(&self, id: &LayerId) -> Result<Option<LayerRow>> {
        let sql = format!("SELECT {COLUMNS} FROM layers WHERE id = ?1");
        let raw = self.row("look up a layer", &sql, [id.as_str()], Raw::read)?;
        raw.map(|raw| self.layer_row(raw)).transpose()
    }

    /// All layers, sorted by name.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn layers(&self) -> Result<Vec<LayerRow>> {
        let sql = format!("SELECT {COLUMNS} FROM layers ORDER BY id");
        let raw = self.rows("list the layers", &sql, [], Raw::read)?;
        raw.into_iter().map(|raw| self.layer_row(raw)).collect()
    }

    /// A layer whose blob form is this blob.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn layer_by_blob(&self, blob: &Digest) -> Result<Option<LayerRow>> {
        let sql = format!("SELECT {COLUMNS} FROM layers WHERE blob = ?1 ORDER BY created, id LIMIT 1");
        let raw = self.row("look up a layer", &sql, [blob.to_string()], Raw::read)?;
        raw.map(|raw| self.layer_row(raw)).transpose()
    }

    /// Marks the trees of these layers as synced, durably.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_layers_synced(&self, ids: &[LayerId]) -> Result<()> {
        self.write("mark layers as synced", Durability::Power, |tx| {
            let mut update = tx.prepare_cached("UPDATE layers SET boot = NULL WHERE id = ?1")?;
            ids.iter().try_for_each(|id| update.execute([id.as_str()]).map(drop))
        })
    }

    /// Forgets one form of a layer, or the layer with its digests when that was the last one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_tree(&self, id: &LayerId) -> Result<()> {
        self.write("forget a tree", Durability::Power, |tx| {
            tx.execute("UPDATE layers SET tree = 0, boot = NULL WHERE id = ?1", [id.as_str()])?;
            remove(tx, "tree = 0 AND blob IS NULL AND id = ?1", id)
        })
    }

    /// Forgets layers and their digests.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove_layers(&self, ids: &[LayerId]) -> Result<()> {
        self.write("remove layers", Durability::Power, |tx| ids.iter().try_for_each(|id| remove(tx, "id = ?1", id)))
    }

    /// Forgets one layer. As [`Self::remove_layers`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove_layer(&self, id: &LayerId) -> Result<()> {
        self.remove_layers(std::slice::from_ref(id))
    }

    fn layer_row(&self, raw: Raw) -> Result<LayerRow> {
        let blob = match (raw.blob, raw.media_type, raw.blob_size) {
            (Some(digest), Some(media_type), Some(size)) => {
                Some(BlobForm { digest: self.parse("a layer's blob", &digest)?, media_type, size })
            }
            _ => None,
        };
        Ok(LayerRow {
            id: self.parse("a layer's id", &raw.id)?,
            tree: raw.tree.then_some(TreeForm { boot: raw.boot }),
            blob,
            size: raw.size,
            created: raw.created,
        })
    }
}

/// A row as SQLite gives it.
struct Raw {
    id: String,
    tree: bool,
    boot: Option<String>,
    blob: Option<String>,
    media_type: Option<String>,
    blob_size: Option<u64>,
    size: u64,
    created: i64,
}

impl Raw {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let size = |value: Option<i64>| value.map(|size| size.cast_unsigned());
        Ok(Self {
            id: row.get(0)?,
            tree: row.get(1)?,
            boot: row.get(2)?,
            blob: row.get(3)?,
            media_type: row.get(4)?,
            blob_size: size(row.get(5)?),
            size: row.get::<_, i64>(6)?.cast_unsigned(),
            created: row.get(7)?,
        })
    }
}

/// Inserts a layer or merges its forms into the row that is there.
pub(super) fn put(tx: &rusqlite::Transaction<'_>, layer: &LayerRow) -> rusqlite::Result<()> {
    let blob = layer.blob.as_ref();
    tx.prepare_cached(
        "INSERT INTO layers (id, tree, boot, blob, media_type, blob_size, size, created)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (id) DO UPDATE SET
           boot = CASE WHEN excluded.tree THEN excluded.boot ELSE boot END,
           tree = tree OR excluded.tree,
           blob = coalesce(excluded.blob, blob),
           media_type = coalesce(excluded.media_type, media_type),
           blob_size = coalesce(excluded.blob_size, blob_size),
           size = max(size, excluded.size)",
    )?
    .execute(params![
        layer.id.as_str(),
        layer.tree.is_some(),
        layer.tree.as_ref().and_then(|tree| tree.boot.as_deref()),
        blob.map(|blob| blob.digest.to_string()),
        blob.map(|blob| blob.media_type.as_str()),
        blob.map(|blob| blob.size.cast_signed()),
        layer.size.cast_signed(),
        layer.created,
    ])
    .map(drop)
}

fn remove(tx: &rusqlite::Transaction<'_>, which: &str, id: &LayerId) -> rusqlite::Result<()> {
    let gone = tx.execute(&format!("DELETE FROM layers WHERE {which}"), [id.as_str()])?;
    if gone > 0 {
        tx.prepare_cached("DELETE FROM diff_ids WHERE layer = ?1")?.execute([id.as_str()])?;
    }
    Ok(())
}
