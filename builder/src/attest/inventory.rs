//! The packages of an image: its layers as a tree to look at.

use std::io;

use layer::Kind;
use oci::{ImageConfig, Manifest, Raw};
use runtime::ladder::Probe;
use runtime::tree::view::{TreeView, ViewError};
use sbom::{Content, Entry, Files, Inventory};
use store::Store;

use crate::Error;
use crate::build::{Failure, unix_now};
use crate::cache::record::Records;
use crate::layers::Layers;
use crate::op::source::image;

/// A chain of layers, as the inventory looks at it.
struct Tree<'v>(&'v TreeView);

/// What a look fails with.
enum Stopped {
    View(ViewError),
    Io(io::Error),
}

impl From<ViewError> for Stopped {
    fn from(error: ViewError) -> Self {
        Self::View(error)
    }
}

impl Files for Tree<'_> {
    fn walk(&self, visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<bool>) -> io::Result<()> {
        let seen = self.0.visit(&self.0.root(), |path, node| {
            if path.is_empty() {
                return Ok(true);
            }
            let entry = node.entry();
            let kind = match entry.kind {
                Kind::File => sbom::Kind::File { size: entry.size, executable: entry.mode & 0o111 != 0 },
                Kind::Dir => sbom::Kind::Folder,
                Kind::Symlink
                | Kind::Hardlink
                | Kind::Char
                | Kind::Block
                | Kind::Fifo
                | Kind::Whiteout
                | Kind::Opaque => sbom::Kind::Other,
            };
            visit(&Entry { path, kind }).map_err(Stopped::Io)
        });
        match seen {
            Ok(()) => Ok(()),
            Err(Stopped::Io(error)) => Err(error),
            Err(Stopped::View(error)) => Err(io::Error::other(error)),
        }
    }

    fn open(&self, path: &[u8]) -> io::Result<Option<Box<dyn Content + '_>>> {
        // Links that lead in circles lead to nothing.
        let Ok(found) = self.0.lookup(path, true) else { return Ok(None) };
        let Some(node) = found.filter(|node| node.entry().kind == Kind::File) else { return Ok(None) };
        match self.0.open_anywhere(&node) {
            Ok(content) => Ok(Some(Box::new(content))),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// The packages in a tree.
pub(super) fn scan(view: &TreeView) -> io::Result<Inventory> {
    sbom::scan(&Tree(view))
}

/// The packages of an image of the store, whose layers are all here. On a rung whose trees hold files of other owners, `probe`
/// is of the rung that was entered.
///
/// # Errors
/// When a layer is gone or damaged, or may not be read.
pub fn inventory_of(
    store: &Store,
    manifest: &Raw<Manifest>,
    config: &Raw<ImageConfig>,
    probe: Option<&Probe>,
) -> Result<Inventory, Error> {
    let look = || -> Result<Inventory, Failure> {
        let records = Records::new(store)?;
        let layers = Layers::new(store, &records, probe.map(|probe| &probe.rung));
        let documents =
            image::Documents { digest: manifest.digest(), manifest: manifest.value(), config: config.value() };
        let lease = store.lease()?;
        let chain = image::chain_of(store, &records, Some(&lease), &documents, unix_now())?;
        Ok(scan(&layers.view(&chain)?)?)
    };
    look().map_err(|error| Error::other("read the image's packages", error))
}
