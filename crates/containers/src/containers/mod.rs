//! All containers of a store: made, found, listed, removed.

mod create;
mod find;
mod reconcile;
mod remove;
mod stop;
mod unreadable;

use runtime::snapshot::KeptTree;

pub use create::Made;
pub use find::{Listing, Unread};
pub use reconcile::KILLED;
pub use remove::Swept;
pub use unreadable::Unreadable;

use crate::layout::{Folder, Layout};
use crate::record::Durability;
use crate::{Config, State};

/// The containers of a store.
#[derive(Debug, Clone)]
pub struct Containers {
    store: store::Layout,
    layout: Layout,
}

/// A container as it was when it was looked at.
#[derive(Debug, Clone)]
pub struct Container {
    /// Where it is.
    pub folder: Folder,
    /// What was asked.
    pub config: Config,
    /// What happens.
    pub state: State,
}

impl Containers {
    /// Those of this store. Touches nothing.
    pub fn new(store: &store::Layout) -> Self {
        Self { store: store.clone(), layout: Layout::new(store) }
    }

    /// Writes into the journal that something happened to a container.
    pub fn tell(&self, config: &Config, action: &str) {
        crate::event::Journal::new(&self.layout).record(&crate::event::Event::of(config, action));
    }

    /// Where they are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The store that they stand on.
    pub fn store(&self) -> &store::Layout {
        &self.store
    }
}

impl Container {
    /// What its file tree is made of.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn tree(&self) -> crate::Result<KeptTree> {
        self.folder.read_tree()
    }

    /// Whether its files are to be on disk: those of a container that goes when it ends are not.
    pub fn durability(&self) -> Durability {
        self.config.durability()
    }
}

impl Config {
    /// Whether files of this container are to be on disk: those of one that goes when it ends are not.
    pub fn durability(&self) -> Durability {
        if self.life.remove { Durability::Fleeting } else { Durability::Synced }
    }
}
