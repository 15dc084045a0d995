//! Which blob names which: what a garbage collector walks.

use oci::Digest;
use rusqlite::params;

use super::{Durability, Index, Result};

impl Index {
    /// Says what `parent` (an index or a manifest) names, durably and in place of what was said before.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_edges(&self, parent: &Digest, children: &[Digest]) -> Result<()> {
        let parent = parent.to_string();
        self.write("store edges", Durability::Power, |tx| {
            tx.prepare_cached("DELETE FROM edges WHERE parent = ?1")?.execute([&parent])?;
            let mut insert = tx.prepare_cached("INSERT OR IGNORE INTO edges (parent, child) VALUES (?1, ?2)")?;
            children.iter().try_for_each(|child| insert.execute(params![parent, child.to_string()]).map(drop))
        })
    }

    /// What `parent` names, sorted.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn edges(&self, parent: &Digest) -> Result<Vec<Digest>> {
        let sql = "SELECT child FROM edges WHERE parent = ?1 ORDER BY child";
        let rows = self.rows("list edges", sql, [parent.to_string()], |row| row.get::<_, String>(0))?;
        rows.iter().map(|text| self.parse("an edge", text)).collect()
    }

    /// All edges as (parent, child), sorted.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub fn all_edges(&self) -> Result<Vec<(Digest, Digest)>> {
        let sql = "SELECT parent, child FROM edges ORDER BY parent, child";
        let rows = self.rows("list edges", sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        rows.iter().map(|(parent, child)| Ok((self.parse("an edge", parent)?, self.parse("an edge", child)?))).collect()
    }

    /// Forgets what these parents name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove_edges(&self, parents: &[Digest]) -> Result<()> {
        self.write("remove edges", Durability::Process, |tx| {
            let mut delete = tx.prepare_cached("DELETE FROM edges WHERE parent = ?1")?;
            parents.iter().try_for_each(|parent| delete.execute([parent.to_string()]).map(drop))
        })
    }
}
