//! What a layer is across stores, and which compressed forms of it are known.

use oci::{DiffId, Digest};
use rusqlite::params;

use super::layers::put;
use super::{Durability, Index, LayerId, LayerRow, Result};

/// Stands for "no clamp" in the key, where SQLite would not compare NULLs.
const NO_EPOCH: i64 = i64::MIN;

/// A compressed form of a layer that was made or fetched before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its media type, which names its compression; one that was made at a level of somebody's choice has that as a
    /// parameter (`…+gzip; level=9`), so that it is not taken for the usual one.
    pub media_type: String,
    /// The blob; it may have been collected since.
    pub blob: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Stands after the media type of a form that some place says to be of a layer, and that was never compared.
pub(super) const UNVERIFIED: &str = "; elsewhere";

impl Variant {
    /// Whether this form was made or unpacked here, and not only heard of.
    pub fn is_verified(&self) -> bool {
        !self.media_type.ends_with(UNVERIFIED)
    }

    /// The media type without what stands behind it.
    pub fn form(&self) -> &str {
        self.media_type.split(';').next().unwrap_or_default()
    }
}

impl Index {
    /// Remembers the DiffId that a layer has with its times clamped to `epoch`, and its tar's size.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_diff_id(&self, layer: &LayerId, epoch: Option<i64>, diff_id: &DiffId, size: u64) -> Result<()> {
        self.write("store a diff id", Durability::Process, |tx| put_diff_id(tx, layer, epoch, diff_id, size))
    }

    /// Stores a layer together with its unclamped DiffId, durably: both or neither.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_layer_with_diff_id(&self, layer: &LayerRow, diff_id: &DiffId) -> Result<()> {
        self.write("store a layer", Durability::Power, |tx| {
            put(tx, layer)?;
            put_diff_id(tx, &layer.id, None, diff_id, layer.size)
        })
    }

    /// The DiffId and tar size of a layer with its times clamped to `epoch`.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn diff_id(&self, layer: &LayerId, epoch: Option<i64>) -> Result<Option<(DiffId, u64)>> {
        let sql = "SELECT diff_id, size FROM diff_ids WHERE layer = ?1 AND epoch = ?2";
        let row = self.row("look up a diff id", sql, params![layer.as_str(), epoch.unwrap_or(NO_EPOCH)], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        })?;
        row.map(|(text, size)| {
            let digest: Digest = self.parse("a diff id", &text)?;
            Ok((DiffId::new(digest), size.cast_unsigned()))
        })
        .transpose()
    }

    /// Layers whose unclamped tar has this DiffId, oldest first.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn layers_by_diff_id(&self, diff_id: &DiffId) -> Result<Vec<LayerId>> {
        let sql = "SELECT layer FROM diff_ids JOIN layers ON id = layer
                   WHERE diff_id = ?1 AND epoch = ?2 ORDER BY created, id";
        let ids =
            self.rows("look up a layer", sql, params![diff_id.to_string(), NO_EPOCH], |row| row.get::<_, String>(0))?;
        ids.iter().map(|id| self.parse("a layer's id", id)).collect()
    }

    /// The oldest layer whose unclamped tar has this DiffId.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn layer_by_diff_id(&self, diff_id: &DiffId) -> Result<Option<LayerId>> {
        Ok(self.layers_by_diff_id(diff_id)?.into_iter().next())
    }

    /// Remembers a compressed form of the layer with this DiffId.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_variant(&self, diff_id: &DiffId, variant: &Variant) -> Result<()> {
        self.write("store a compressed form", Durability::Power, |tx| {
            tx.prepare_cached(
                "INSERT OR REPLACE INTO variants (diff_id, media_type, blob, size) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                diff_id.to_string(),
                variant.media_type,
                variant.blob.to_string(),
                variant.size.cast_signed()
            ])
            .map(drop)
        })
    }

    /// Remembers a form of the layer with this DiffId whose own stream has another one: the same files, and more bytes. It is
    /// none of [`Index::variants`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_other_stream(&self, diff_id: &DiffId, variant: &Variant) -> Result<()> {
        let media_type = format!("{OTHER_STREAM}{}", variant.media_type);
        self.put_variant(diff_id, &Variant { media_type, ..variant.clone() })
    }

    /// The forms of the layer with this DiffId whose streams have others.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn other_streams(&self, diff_id: &DiffId) -> Result<Vec<Variant>> {
        let own = |variant: Variant| {
            let media_type = variant.media_type.strip_prefix(OTHER_STREAM)?.to_owned();
            Some(Variant { media_type, ..variant })
        };
        Ok(self.forms(diff_id)?.into_iter().filter_map(own).collect())
    }

    /// The compressed forms of the layer with this DiffId, by media type.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn variants(&self, diff_id: &DiffId) -> Result<Vec<Variant>> {
        let mut all = self.forms(diff_id)?;
        all.retain(|variant| !variant.media_type.starts_with(OTHER_STREAM));
        Ok(all)
    }

    /// All forms of the layer with this DiffId: what a collector keeps for it.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn forms(&self, diff_id: &DiffId) -> Result<Vec<Variant>> {
        let sql = "SELECT media_type, blob, size FROM variants WHERE diff_id = ?1 ORDER BY media_type";
        let rows = self.rows("list compressed forms", sql, [diff_id.to_string()], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
        })?;
        rows.into_iter()
            .map(|(media_type, blob, size)| {
                let blob = self.parse("a compressed form's blob", &blob)?;
                Ok(Variant { media_type, blob, size: size.cast_unsigned() })
            })
            .collect()
    }

    /// Forgets every compressed form that is this blob.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove_variants(&self, blobs: &[Digest]) -> Result<()> {
        self.write("forget compressed forms", Durability::Process, |tx| {
            let mut delete = tx.prepare_cached("DELETE FROM variants WHERE blob = ?1")?;
            blobs.iter().try_for_each(|blob| delete.execute([blob.to_string()]).map(drop))
        })
    }
}

/// Before the media type of a form whose stream has a DiffId of its own.
const OTHER_STREAM: &str = "other stream: ";

pub(super) fn put_diff_id(
    tx: &rusqlite::Transaction<'_>,
    layer: &LayerId,
    epoch: Option<i64>,
    diff_id: &DiffId,
    size: u64,
) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO diff_ids (layer, epoch, diff_id, size) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![layer.as_str(), epoch.unwrap_or(NO_EPOCH), diff_id.to_string(), size.cast_signed()])
        .map(drop)
}
