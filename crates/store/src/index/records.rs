//! Cache records: which layers a key stands for, and what the key was made of.

use oci::Digest;
use rusqlite::{Row, params};

use super::{Durability, Index, LayerId, Result};

/// What a cache key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The chain of layers, base first.
    pub layers: Vec<LayerId>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// The text that was hashed into the key, so that a miss can be explained in words.
    pub preimage: String,
    /// The name of the vertex, by which an earlier record of the same step is found.
    pub vertex_name: String,
}

const COLUMNS: &str = "key, layers, created, preimage, name";

impl Index {
    /// Stores a record under a key, in place of an earlier one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_record(&self, key: &Digest, record: &Record) -> Result<()> {
        self.put_records(&[(*key, record.clone())])
    }

    /// Stores records, all or none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_records(&self, records: &[(Digest, Record)]) -> Result<()> {
        self.write("store cache records", Durability::Process, |tx| {
            let mut insert = tx.prepare_cached(
                "INSERT OR REPLACE INTO records (key, name, layers, created, used, preimage)
                 VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
            )?;
            let mut own = tx.prepare_cached("DELETE FROM writers WHERE key = ?1")?;
            records.iter().try_for_each(|(key, record)| {
                own.execute([key.to_string()])?;
                let layers = record.layers.iter().map(LayerId::as_str).collect::<Vec<_>>().join(" ");
                insert
                    .execute(params![key.to_string(), record.vertex_name, layers, record.created, record.preimage])
                    .map(drop)
            })
        })
    }

    /// The record under a key.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn record(&self, key: &Digest) -> Result<Option<Record>> {
        let sql = format!("SELECT {COLUMNS} FROM records WHERE key = ?1");
        let raw = self.row("look up a cache record", &sql, [key.to_string()], read)?;
        Ok(raw.map(|raw| self.parse_record(raw)).transpose()?.map(|(_, record)| record))
    }

    /// The youngest record of the step with this name, and its key.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn previous_by_definition(&self, vertex_name: &str) -> Result<Option<(Digest, Record)>> {
        let sql = format!("SELECT {COLUMNS} FROM records WHERE name = ?1 ORDER BY id DESC LIMIT 1");
        let raw = self.row("look up a cache record", &sql, [vertex_name], read)?;
        raw.map(|raw| self.parse_record(raw)).transpose()
    }

    /// All records as (key, layers, last use), least recently used first.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn records(&self) -> Result<Vec<(Digest, Vec<LayerId>, i64)>> {
        let sql = "SELECT key, layers, used FROM records ORDER BY used, id";
        let rows = self.rows("list the cache records", sql, [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?))
        })?;
        rows.into_iter()
            .map(|(key, layers, used)| Ok((self.parse("a key", &key)?, self.chain(&layers)?, used)))
            .collect()
    }

    /// Marks keys as used at `now` (seconds since 1970), in one write.
    ///
    /// # Errors
    /// When the database fails.
    pub fn touch(&self, keys: &[Digest], now: i64) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.write("touch cache records", Durability::Process, |tx| {
            let mut update = tx.prepare_cached("UPDATE records SET used = ?2 WHERE key = ?1")?;
            keys.iter().try_for_each(|key| update.execute(params![key.to_string(), now]).map(drop))
        })
    }

    /// Forgets records.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove_records(&self, keys: &[Digest]) -> Result<()> {
        self.write("remove cache records", Durability::Process, |tx| {
            let mut delete = tx.prepare_cached("DELETE FROM records WHERE key = ?1")?;
            let mut forget = tx.prepare_cached("DELETE FROM writers WHERE key = ?1")?;
            keys.iter().try_for_each(|key| {
                delete.execute([key.to_string()])?;
                forget.execute([key.to_string()]).map(drop)
            })
        })
    }

    /// Stores a record that came from elsewhere, and where it came from.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_foreign_record(&self, key: &Digest, record: &Record, writer: &str) -> Result<()> {
        self.put_record(key, record)?;
        self.write("store who wrote a record", Durability::Process, |tx| {
            tx.prepare_cached("INSERT OR REPLACE INTO writers (key, writer) VALUES (?1, ?2)")?
                .execute(params![key.to_string(), writer])
                .map(drop)
        })
    }

    /// Where a record came from; `None` for one that was made here.
    ///
    /// # Errors
    /// When the database fails.
    pub fn writer(&self, key: &Digest) -> Result<Option<String>> {
        self.row("look up who wrote a record", "SELECT writer FROM writers WHERE key = ?1", [key.to_string()], |row| {
            row.get(0)
        })
    }

    fn chain(&self, text: &str) -> Result<Vec<LayerId>> {
        text.split(' ').filter(|id| !id.is_empty()).map(|id| self.parse("a record's layers", id)).collect()
    }

    fn parse_record(&self, (key, layers, created, preimage, vertex_name): Raw) -> Result<(Digest, Record)> {
        let record = Record { layers: self.chain(&layers)?, created, preimage, vertex_name };
        Ok((self.parse("a key", &key)?, record))
    }
}

type Raw = (String, String, i64, String, String);

fn read(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}
