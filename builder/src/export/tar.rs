//! The file tree of an image as one tar.

use layer::{Kind, TarWriter};
use runtime::tree::view::TreeView;

use super::ExportError;
use super::bundle::{close, open};
use crate::Destination;

/// Writes everything that the view shows, in canonical order; times after `clamp` become it.
pub(super) fn write(view: &TreeView, dest: &Destination, clamp: Option<i64>) -> Result<(), ExportError> {
    let (out, place) = open(dest)?;
    let mut tar = TarWriter::new(out);
    view.visit(&view.root(), |path, node| {
        if path.is_empty() {
            return Ok(true);
        }
        let mut entry = node.entry().clone();
        entry.mtime = clamp.map_or(entry.mtime, |clamp| entry.mtime.min(clamp));
        if entry.kind == Kind::File {
            tar.append(&entry, &mut view.open(node)?)?;
        } else {
            tar.begin(&entry)?;
        }
        Ok::<bool, ExportError>(true)
    })?;
    close(tar.finish()?, place)
}
