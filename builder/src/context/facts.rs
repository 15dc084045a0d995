//! What is known of the contents of files: from the stat cache, or found out in this build.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use layer::compare_paths;
use oci::Digest;
use sys::{FileKind, Root};

use super::ContextError;
use super::stat_cache::{self, Kept, StatCache, Xattrs, is_settled, now};
use super::tree::Ident;

/// One file or folder.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) path: Box<[u8]>,
    pub(super) kept: Kept,
    /// When what is kept was read, if the stat cache did not say it.
    read_at: Option<i64>,
}

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Facts {
    list: Vec<Fact>,
    places: HashMap<Box<[u8]>, u32>,
    hint: usize,
    /// Whether the stat cache's file lacks something worth keeping.
    dirty: bool,
}

impl Facts {
    /// Learns of a file or folder: what the cache knows, or its attributes from the file itself.
    pub(super) fn learn(
        &mut self,
        cache: Option<&StatCache>,
        root: &Root,
        dir: &Path,
        path: &[u8],
        ident: &Ident,
    ) -> Result<u32, ContextError> {
        let known = cache.and_then(|cache| cache.find(path, &mut self.hint)).filter(|kept| kept.ident == *ident);
        let fact = match known {
            Some(kept) => Fact { path: path.into(), kept, read_at: None },
            None => {
                let read_at = now();
                let xattrs = read_xattrs(root, dir, path)?;
                // A folder has no digest to wait for: its attributes are all there is to keep.
                self.dirty |= FileKind::of_mode(ident.mode) == FileKind::Dir && is_settled(ident, read_at);
                Fact { path: path.into(), kept: Kept { ident: *ident, digest: None, xattrs }, read_at: Some(read_at) }
            }
        };
        let place = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(fact);
        Ok(place)
    }

    pub(super) fn get(&self, at: u32) -> &Fact {
        &self.list[at as usize]
    }

    /// Says when a file begins to be read.
    pub(super) fn reading(&mut self, at: u32, when: i64) {
        self.list[at as usize].read_at = Some(when);
    }

    /// Stores a digest that was computed from a file's bytes, which were read from `read_at` on.
    pub(super) fn digested(&mut self, at: u32, digest: Digest) {
        let fact = &mut self.list[at as usize];
        let settled = fact.read_at.is_some_and(|read_at| is_settled(&fact.kept.ident, read_at));
        self.dirty |= settled && fact.kept.digest != Some(digest);
        fact.kept.digest = Some(digest);
    }

    /// The place of a path.
    pub(super) fn place(&mut self, path: &[u8]) -> Option<u32> {
        for fact in &self.list[self.places.len().min(self.list.len())..] {
            let next = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
            self.places.insert(fact.path.clone(), next);
        }
        self.places.get(path).copied()
    }

    /// Writes what is known and what the cache knew of places that this build did not look at.
    pub(super) fn save(
        &mut self,
        cache: Option<&StatCache>,
        file: &Path,
        looked_at: impl Fn(&[u8]) -> bool,
    ) -> Result<bool, ContextError> {
        if !self.dirty {
            return Ok(false);
        }
        let worth = |fact: &&Fact| {
            let file = FileKind::of_mode(fact.kept.ident.mode) == FileKind::File;
            (fact.kept.digest.is_some() || !file)
                && fact.read_at.is_none_or(|read_at| is_settled(&fact.kept.ident, read_at))
        };
        let mut fresh: Vec<(&[u8], Kept)> =
            self.list.iter().filter(worth).map(|fact| (&*fact.path, fact.kept.clone())).collect();
        let old = cache.iter().flat_map(|cache| cache.records());
        fresh.extend(old.filter(|(path, _)| !looked_at(parent(path))));
        fresh.sort_by(|(a, _), (b, _)| compare_paths(a, b));
        fresh.dedup_by(|(a, _), (b, _)| compare_paths(a, b) == Ordering::Equal);
        stat_cache::write(file, fresh.iter().map(|(path, kept)| (*path, kept))).map_err(|source| ContextError::Io {
            call: "write",
            path: file.to_path_buf(),
            source,
        })?;
        self.dirty = false;
        Ok(true)
    }
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |at| &path[..at])
}

/// The attributes that a COPY carries: the user's own and file capabilities. What a security module or the kernel keeps
/// (labels, access lists) belongs to the host, and `trusted.` ones only root would see.
fn read_xattrs(root: &Root, dir: &Path, path: &[u8]) -> Result<Xattrs, ContextError> {
    let relative = OsStr::from_bytes(if path.is_empty() { b"." } else { path });
    let fail = |error: sys::Error| ContextError::sys(&error, dir.join(OsStr::from_bytes(path)));
    let parent = root.resolve_parent(relative).map_err(fail)?;
    let mut xattrs = Xattrs::new();
    let names = match sys::xattr::list_at(parent.dir(), parent.name()) {
        // Gone since it was listed; whoever opens it says so.
        Err(error) if error.is_not_found() => Vec::new(),
        other => other.map_err(fail)?,
    };
    for name in names {
        let wanted = name == "security.capability" || name.as_bytes().starts_with(b"user.");
        if !wanted || layer::is_private_xattr(name.as_bytes()) {
            continue;
        }
        // A capability that belongs to another user namespace cannot be read here: then it grants nothing here either.
        if let Ok(Some(value)) = sys::xattr::get_at(parent.dir(), parent.name(), &name) {
            xattrs.insert(name.into_encoded_bytes(), value);
        }
    }
    Ok(xattrs)
}
