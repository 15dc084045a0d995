//! Directories that a layer's tar implies, by what lies in them, but doesn't hold.

use layer::{Entry, Kind};
use rustix::io::Errno;
use sys::{Result, Root};

use super::IdPolicy;
use super::attributes::{Attributes, set_time};
use super::special::name;

/// The directory as the nearest of `lowers` that has it shows it; `None` if none does, or something else hides it.
pub(super) fn from_lowers(lowers: &[Root], path: &[u8]) -> Result<Option<Entry>> {
    for lower in lowers {
        match lower.stat(name(path)) {
            Ok(stat) if stat.is_dir() => {
                let mut entry = Entry::new(path, Kind::Dir);
                super::inode::take_attributes(lower, &mut entry, &stat)?;
                return Ok(Some(entry));
            }
            Ok(_) => return Ok(None),
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Gives the directories `implied` of a finished `tree` ([`super::Unpacked::implied`]) the attributes that the trees
/// below, nearest first, have for them: for layers that were unpacked before their lower ones were there.
///
/// A directory that no lower tree has stays as it is. Doing it twice does no harm.
pub fn settle_implied(tree: &Root, implied: &[Vec<u8>], lowers: &[Root], ids: &IdPolicy) -> Result<()> {
    let mut paths: Vec<_> = implied.iter().collect();
    // From below, since a mode may close the way down.
    paths.sort_unstable_by(|a, b| layer::compare_paths(b, a));
    let mut attributes = Attributes::new(tree, ids, false)?;
    for path in paths {
        let Some(entry) = from_lowers(lowers, path)? else { continue };
        let dir = match tree.open_dir(name(path)) {
            Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR) => continue,
            opened => opened?,
        };
        attributes.set(&dir, &entry, u32::MAX, true).map_err(|error| error.at(name(path)))?;
        set_time(&dir, entry.mtime).map_err(|error| error.at(name(path)))?;
    }
    attributes.finish()
}
