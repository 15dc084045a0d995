//! What was fetched for builds: files of the web, checkouts, unpacked contexts, each a tree under a name that says what it is.
//!
//! ```text
//! contexts/<key>/tree     the tree
//!          <key>/boot     "synced", or the boot under which it was written: it was not synced, and is of no use after another
//!          <key>/          its time is that of its last use
//!          <key>.new/     one in the making
//! ```
//!
//! It is cache. Who makes one holds the lock `context-<key>.new`; a collector takes folders by their time.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::{Error, KeyLock, Result, Store, boot_id};

/// What stands in `boot` of a tree that is on disk.
const SYNCED: &str = "synced";

/// A tree in the making. Dropping it takes it away.
#[derive(Debug)]
pub struct Fetching {
    _lock: KeyLock,
    folder: PathBuf,
    home: PathBuf,
}

impl Store {
    /// The tree that was fetched under `key`, a safe file name; `None` where there is none, or a crash may have damaged it.
    /// It counts as used now.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn fetched(&self, key: &str) -> Result<Option<PathBuf>> {
        usable(&self.layout().context(key))
    }

    /// Begins a tree, waiting for whoever makes one of that name.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn fetch(&self, key: &str) -> Result<Fetching> {
        let folder = self.layout().contexts();
        let lock = self.lock_key(&format!("context-{key}.new"))?;
        let home = folder.join(format!("{key}.new"));
        remove(&home)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&home).map_err(io_at("mkdir", &home))?;
        Ok(Fetching { _lock: lock, folder, home })
    }
}

impl Fetching {
    /// A folder of its own, in which the tree is to be the entry `tree`.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where the tree is to be. It is not there yet.
    pub fn tree(&self) -> PathBuf {
        self.home.join("tree")
    }

    /// Gives the tree its name; one that is there stays, since somebody may be reading it, unless a crash may have damaged it.
    /// `synced`: it is on disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(self, key: &str, synced: bool) -> Result<PathBuf> {
        let boot = self.home.join("boot");
        let says = if synced { SYNCED.to_owned() } else { boot_id()? };
        fs::write(&boot, says).map_err(io_at("write", &boot))?;
        let home = self.folder.join(key);
        if let Some(there) = usable(&home)? {
            return Ok(there);
        }
        remove(&home)?;
        match fs::rename(&self.home, &home) {
            // Somebody else has just made the same.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            other => other.map_err(io_at("rename", &home))?,
        }
        Ok(home.join("tree"))
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        // What cannot be taken away now, the next one of this name takes.
        drop(fs::remove_dir_all(&self.home));
    }
}

/// The tree of a folder, if it is whole; it counts as used now.
fn usable(home: &Path) -> Result<Option<PathBuf>> {
    let boot = match fs::read_to_string(home.join("boot")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_at("read", home))?,
    };
    if boot != SYNCED && boot != boot_id()? {
        return Ok(None);
    }
    let now = File::open(home).and_then(|folder| folder.set_modified(SystemTime::now()));
    match now {
        // A collector was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Of a store that may only be read, nothing is collected either.
        _ => Ok(Some(home.join("tree"))),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at("remove", path)(error)),
        _ => Ok(()),
    }
}

fn io_at(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { call, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        assert_eq!(store.fetched("k").unwrap(), None);
        let begun = store.fetch("k").unwrap();
        fs::create_dir(begun.tree()).unwrap();
        assert_eq!(store.fetched("k").unwrap(), None);
        drop(begun);
        assert_eq!(fs::read_dir(store.layout().contexts()).unwrap().count(), 0);
        let bring = |text: &str| {
            let begun = store.fetch("k").unwrap();
            fs::create_dir(begun.tree()).unwrap();
            fs::write(begun.tree().join("f"), text).unwrap();
            let tree = begun.finish("other", text == "two").unwrap();
            assert_eq!(store.fetched("other").unwrap(), Some(tree.clone()));
            fs::read_to_string(tree.join("f")).unwrap()
        };
        // Who reads the first one goes on reading it.
        assert_eq!((bring("one"), bring("two")), ("one".to_owned(), "one".to_owned()));
        fs::write(store.layout().context("other").join("boot"), "another boot").unwrap();
        assert_eq!(store.fetched("other").unwrap(), None);
        assert_eq!(bring("two"), "two");
        assert_eq!(fs::read_dir(store.layout().contexts()).unwrap().count(), 1);
    }
}
