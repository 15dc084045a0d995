//! How much containers wrote.

use std::path::Path;

use containers::Container;
use runtime::snapshot::RootFs;
use store::Store;

use crate::context::Context;
use crate::duration;
use crate::error::Result;
use crate::image;

/// Asks the store and the trees.
#[derive(Debug)]
pub(in crate::verb) struct Sizes {
    store: Option<Store>,
    layout: store::Layout,
}

impl Sizes {
    /// Of the containers of this store.
    pub(in crate::verb) fn new(context: &Context) -> Result<Self> {
        Ok(Self { store: context.existing_store()?, layout: store::Layout::new(context.root()?) })
    }

    /// Bytes that the container wrote into its own tree. What we may not look into is not counted.
    pub(in crate::verb) fn written(&self, container: &Container) -> u64 {
        match container.tree().map(|tree| tree.root_fs(&self.layout.snapshots())) {
            Ok(RootFs::Overlay { upper, .. }) => below(&upper),
            Ok(RootFs::Dir(dir)) => below(&dir),
            Ok(RootFs::View { .. }) | Err(_) => 0,
        }
    }

    /// The same with its image.
    pub(in crate::verb) fn whole(&self, container: &Container) -> u64 {
        let image = self.store.as_ref().and_then(|store| {
            let image = image::read(store, &container.config.image.manifest, None).ok()?;
            image.size(store).ok()
        });
        self.written(container) + image.unwrap_or(0)
    }

    /// As docker says it.
    pub(in crate::verb) fn text(&self, container: &Container) -> String {
        let (own, whole) = (self.written(container), self.whole(container));
        format!("{} (virtual {})", duration::size(own), duration::size(whole))
    }
}

fn below(dir: &Path) -> u64 {
    let mut total = 0;
    let mut pending = vec![dir.to_path_buf()];
    while let Some(next) = pending.pop() {
        let Ok(listing) = std::fs::read_dir(&next) else { continue };
        for entry in listing.flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => pending.push(entry.path()),
                Ok(metadata) if metadata.is_file() => total += metadata.len(),
                _ => {}
            }
        }
    }
    total
}
