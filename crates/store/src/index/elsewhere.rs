//! Layers of which no byte is here: known by their DiffId, and by the compressed form that some place has.

use oci::DiffId;
use rusqlite::{OptionalExtension as _, params};

use super::diff_ids::{UNVERIFIED, put_diff_id};
use super::layers::put;
use super::{Durability, Index, LayerId, LayerRow, Origin, Result, Variant};

/// A layer that some place has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// What it is.
    pub diff_id: DiffId,
    /// The size of its uncompressed tar in bytes.
    pub size: u64,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// No time in it is later than this one, in seconds since 1970.
    pub epoch: Option<i64>,
    /// The form that the place has.
    pub variant: Variant,
}

impl Index {
    /// Gives layers names here, base first, all in one write. A layer that is usable in `boot` keeps its name, as does one
    /// that is known and not here; of the others only the row is made, without any form ([`LayerRow::is_elsewhere`]).
    /// `origin` is the repository that has them, where it is one; a layer with no time after `epoch` has its DiffId there, too.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn put_elsewhere(
        &self,
        layers: &[Elsewhere],
        origin: Option<&Origin>,
        boot: &str,
        epoch: Option<i64>,
        now: i64,
    ) -> Result<Vec<LayerId>> {
        let mut names: Vec<Option<LayerId>> = Vec::with_capacity(layers.len());
        for layer in layers {
            names.push(self.usable(&layer.diff_id, boot)?);
        }
        let minted: Vec<LayerId> = names.iter().map(|name| name.clone().unwrap_or_else(LayerId::mint)).collect();
        let found = self.write("store layers that are elsewhere", Durability::Process, |tx| {
            let mut ids = Vec::with_capacity(layers.len());
            for ((layer, known), mint) in layers.iter().zip(&names).zip(&minted) {
                let text = match known {
                    Some(known) => known.as_str().to_owned(),
                    None => unusable(tx, layer, mint)?,
                };
                if epoch.is_some_and(|epoch| layer.epoch.is_some_and(|own| own <= epoch)) {
                    tx.prepare_cached(
                        "INSERT OR IGNORE INTO diff_ids (layer, epoch, diff_id, size) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![
                        text,
                        epoch,
                        layer.diff_id.to_string(),
                        layer.size.cast_signed()
                    ])?;
                }
                if known.is_none() {
                    place(tx, layer, origin, now)?;
                }
                ids.push(text);
            }
            Ok(ids)
        })?;
        found.iter().map(|id| self.parse("a layer's id", id)).collect()
    }

    fn usable(&self, diff_id: &DiffId, boot: &str) -> Result<Option<LayerId>> {
        for id in self.layers_by_diff_id(diff_id)? {
            if self.layer(&id)?.and_then(|row| row.alive(boot)).is_some() {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

/// The row of a layer that has no usable form: one that is there loses what is left of its tree.
fn unusable(tx: &rusqlite::Transaction<'_>, layer: &Elsewhere, mint: &LayerId) -> rusqlite::Result<String> {
    let known: Option<String> = tx
        .prepare_cached(
            "SELECT id FROM diff_ids JOIN layers ON id = layer
             WHERE diff_id = ?1 AND epoch = ?2 AND blob IS NULL ORDER BY created, id LIMIT 1",
        )?
        .query_row(params![layer.diff_id.to_string(), i64::MIN], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        tx.prepare_cached("UPDATE layers SET tree = 0, boot = NULL WHERE id = ?1")?.execute([&known])?;
        return Ok(known);
    }
    let row = LayerRow { id: mint.clone(), tree: None, blob: None, size: layer.size, created: layer.created };
    put(tx, &row)?;
    put_diff_id(tx, mint, None, &layer.diff_id, layer.size)?;
    Ok(mint.as_str().to_owned())
}

/// Remembers the form and the place that has it. Nobody compared them yet, which stands beside the form's media type: a
/// layer that comes to be here by another way must not be sent in this form.
fn place(tx: &rusqlite::Transaction<'_>, layer: &Elsewhere, origin: Option<&Origin>, now: i64) -> rusqlite::Result<()> {
    let Variant { media_type, blob, size } = &layer.variant;
    tx.prepare_cached("INSERT OR REPLACE INTO variants (diff_id, media_type, blob, size) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            layer.diff_id.to_string(),
            format!("{media_type}{UNVERIFIED}"),
            blob.to_string(),
            size.cast_signed()
        ])?;
    let Some(origin) = origin else { return Ok(()) };
    tx.prepare_cached("INSERT OR REPLACE INTO origins (blob, registry, repository, seen) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![blob.to_string(), origin.registry, origin.repository, now])
        .map(drop)
}
