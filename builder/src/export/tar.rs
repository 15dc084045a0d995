//! The file tree of an image as one tar.

use std::collections::HashMap;

use layer::{Entry, Kind, TarWriter, compare_paths};
use runtime::tree::view::{Node, TreeView, ViewError};

use super::bundle::{close, open};
use super::replacing::Out;
use super::{ExportError, Shown};
use crate::Destination;
use crate::build::unix_now;

/// Writes everything that each view shows, in canonical order, into the folder beside it, and then files of ours; times after
/// `clamp` become it.
pub(super) fn write(all: &[Shown], dest: &Destination, clamp: Option<i64>) -> Result<(), ExportError> {
    let (out, place) = open(dest)?;
    let mut tar = TarWriter::new(out);
    for shown in all {
        if !shown.folder.is_empty() {
            tar.begin(&Entry::new(shown.folder.as_bytes(), Kind::Dir))?;
        }
        one(&mut tar, shown, clamp)?;
    }
    close(tar.finish()?, place)
}

fn one(tar: &mut TarWriter<Out>, shown: &Shown, clamp: Option<i64>) -> Result<(), ExportError> {
    let Shown { folder, view, files } = shown;
    let within = |path: &[u8]| if folder.is_empty() { path.to_vec() } else { [folder.as_bytes(), b"/", path].concat() };
    let mut links = Links::new();
    view.visit(&view.root(), |path, node| {
        if path.is_empty() {
            return Ok(true);
        }
        if files.iter().any(|(name, _)| name.as_bytes() == path) {
            return Ok(false);
        }
        let mut entry = node.entry().clone();
        entry.path = within(&entry.path);
        entry.mtime = clamp.map_or(entry.mtime, |clamp| entry.mtime.min(clamp));
        if let Some(first) = first_name(view, node, &mut links)? {
            (entry.kind, entry.size, entry.link) = (Kind::Hardlink, 0, within(&first));
            tar.begin(&entry)?;
        } else if entry.kind == Kind::File {
            tar.append(&entry, &mut view.open(node)?)?;
        } else {
            tar.begin(&entry)?;
        }
        Ok::<bool, ExportError>(true)
    })?;
    for (name, bytes) in files {
        let mut entry = Entry::new(within(name.as_bytes()), Kind::File);
        (entry.size, entry.mode, entry.mtime) = (bytes.len() as u64, 0o644, clamp.unwrap_or_else(unix_now));
        tar.append(&entry, &mut bytes.as_slice())?;
    }
    Ok(())
}

/// Files of several names, and the one that was written first.
pub(super) type Links = HashMap<(usize, Vec<u8>), Vec<u8>>;

/// Of a file with several names, the one that was written before this one.
pub(super) fn first_name(view: &TreeView, node: &Node, links: &mut Links) -> Result<Option<Vec<u8>>, ViewError> {
    if !node.is_shared() {
        return Ok(None);
    }
    let (layer, mark) = node.inode();
    // A first name does not tell that there are more, and so is not among the links.
    let is_path = !mark.starts_with(&[0]);
    if is_path
        && compare_paths(mark, node.path()).is_lt()
        && view.lookup(mark, false)?.is_some_and(|first| first.inode() == node.inode())
    {
        return Ok(Some(mark.to_vec()));
    }
    let inode = (layer, mark.to_vec());
    let written = links.get(&inode).cloned();
    links.entry(inode).or_insert_with(|| node.path().to_vec());
    Ok(written)
}
