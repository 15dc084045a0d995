//! What every verb starts from: the store's place and the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::{Room, Store};

use crate::error::{Error, Result, While};

/// The process's surroundings, read once.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    root: Option<PathBuf>,
}

impl Context {
    /// Settles the store's place: `--root`, else what the environment says.
    pub(crate) fn new(root: Option<PathBuf>) -> Result<Self> {
        let chosen =
            root.or_else(|| store::default_root(|name| std::env::var_os(name), rustix::process::geteuid().as_raw()));
        Ok(Self { root: chosen.map(std::path::absolute).transpose()? })
    }

    /// The store's folder. Verbs that need none work where there is no place for one.
    pub(crate) fn root(&self) -> Result<&Path> {
        self.root.as_deref().ok_or_else(|| {
            Error::failed("there is no place for the store: $HOME is not set")
                .hint("set $ESTIBA_ROOT, or give --root DIR")
        })
    }

    /// Opens the store, and makes it when there is none.
    pub(crate) fn store(&self) -> Result<Store> {
        open(self.root()?)
    }

    /// Opens the store for reading; `None` when there is none yet, which most verbs treat as empty.
    pub(crate) fn existing_store(&self) -> Result<Option<Store>> {
        let root = self.root()?;
        // A folder that may not be looked into is no empty store.
        if !root.join("version").try_exists().during(format!("the store {}", root.display()))? {
            return Ok(None);
        }
        Ok(Some(limited(Store::open_existing(root)?)?))
    }
}

/// Opens the store of a folder, under its limit.
pub(crate) fn open(root: &Path) -> Result<Store> {
    limited(Store::open(root)?)
}

/// Under the limit that the environment says; where it says none, the store's own holds.
fn limited(store: Store) -> Result<Store> {
    store.room().collect_with(builder::gc::make_room);
    if let Some(limit) = asked_limit()? {
        store.room().set_limit(Some(limit));
    }
    Ok(store)
}

/// The room of a store that is not opened.
pub(crate) fn room(layout: &store::Layout) -> Arc<Room> {
    let room = Room::new(layout);
    room.collect_with(builder::gc::make_room);
    // One that cannot be read was refused when the store was opened.
    if let Ok(Some(limit)) = asked_limit() {
        room.set_limit(Some(limit));
    }
    room
}

fn asked_limit() -> Result<Option<u64>> {
    let Some(text) = variable(LIMIT) else { return Ok(None) };
    let limit = store::room::parse_size(&text);
    limit.map(Some).ok_or_else(|| Error::usage(format!("${LIMIT}: {text:?} is not a size such as 20GB")))
}

/// The variable that says how much disk the store may take; `0`: as much as there is.
const LIMIT: &str = "ESTIBA_STORE_LIMIT";

/// A variable of the environment, when it is set, not empty, and text.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).filter(|value| !value.is_empty()).and_then(|value: OsString| value.into_string().ok())
}
