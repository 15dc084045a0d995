//! What a COPY takes from a tree of layers. What it takes from a build context, [`crate::context`] says, in the same form.

use std::collections::{BTreeMap, HashMap};

use graph::Copy;
use graph::pattern::{Glob, PatternSet};
use layer::{Kind, SelectionHasher, compare_paths};
use oci::Digest;
use runtime::tree::view::{Node, TreeView};

use super::FileError;
use super::draft::{join, parts, shown};
use crate::context::Placement;

/// What a COPY takes, sorted as a layer is, each destination path once.
pub(crate) struct ViewSelection {
    /// Path below the destination, and what lies there. Empty: a source directory itself.
    pub(crate) entries: Vec<(Vec<u8>, Node)>,
    /// How it lies at the destination.
    pub(crate) placement: Placement,
    /// Places of files that a source names itself, so that `ADD` unpacks them.
    pub(crate) named: Vec<usize>,
    /// Of a further name of a file, the place of the first one.
    pub(crate) twins: HashMap<usize, usize>,
}

/// Selects.
pub(crate) fn select(view: &TreeView, copy: &Copy) -> Result<ViewSelection, FileError> {
    let mut walk = Walk {
        view,
        exclude: patterns(&copy.exclude)?,
        back: copy.exclude.iter().any(|p| p.trim().starts_with('!')),
        taken: BTreeMap::new(),
        matches: 0,
    };
    for source in &copy.sources {
        if copy.parents { walk.with_parents(source)? } else { walk.source(source)? }
    }
    walk.finish()
}

/// The digest of a selection; owners count where they are kept.
pub(crate) fn digest(view: &TreeView, selection: &ViewSelection, keep_owner: bool) -> Result<Digest, FileError> {
    let mut hasher = SelectionHasher::new();
    for (number, (path, node)) in selection.entries.iter().enumerate() {
        let content = match node.entry().kind {
            Kind::File => Some(view.content(node).map_err(FileError::source_tree)?),
            _ => None,
        };
        let mut entry = node.entry().clone();
        if !keep_owner {
            (entry.uid, entry.gid) = (0, 0);
        }
        if let Some(first) = selection.twins.get(&number) {
            entry.link.clone_from(&selection.entries[*first].0);
        }
        hasher.add(path, &entry, content.as_ref());
    }
    Ok(hasher.finish())
}

fn patterns(list: &[String]) -> Result<PatternSet, FileError> {
    PatternSet::new(list).map_err(|(_, source)| FileError::Pattern(source))
}

struct Walk<'v> {
    view: &'v TreeView,
    exclude: PatternSet,
    /// Whether an exclude takes something back, so that what lies in an excluded directory must be looked at.
    back: bool,
    taken: BTreeMap<Vec<u8>, (Node, bool)>,
    matches: usize,
}

impl Walk<'_> {
    fn source(&mut self, source: &str) -> Result<(), FileError> {
        for (name, node) in self.matches(source)? {
            self.matches += 1;
            if node.entry().kind == Kind::Dir {
                self.take(Vec::new(), node.clone(), false)?;
                self.inside(&node, &[], &PatternSet::default(), true)?;
            } else if !self.exclude.matches(&name) {
                self.take(name, node, true)?;
            }
        }
        Ok(())
    }

    /// What a source names, links followed, with the name that it is called by.
    fn matches(&self, source: &str) -> Result<Vec<(Vec<u8>, Node)>, FileError> {
        let glob = Glob::new(source).map_err(FileError::Pattern)?;
        let base = self.lookup(glob.base().as_bytes())?;
        if glob.is_literal() {
            let node = base.ok_or_else(|| self.missing(source))?;
            let name = parts(glob.base().as_bytes()).next_back().unwrap_or_default().to_vec();
            return Ok(vec![(name, node)]);
        }
        let mut level: Vec<Node> = base.into_iter().filter(|node| node.entry().kind == Kind::Dir).collect();
        for depth in 0..glob.depth() {
            let mut next = Vec::new();
            for dir in level.iter().filter(|node| node.entry().kind == Kind::Dir) {
                let children = self.view.read_dir(dir).map_err(FileError::source_tree)?;
                next.extend(children.into_iter().filter(|child| glob.matches_part(depth, last(child.path()))));
            }
            level = next;
        }
        let mut found = Vec::new();
        for node in level {
            let name = last(node.path()).to_vec();
            if let Some(node) = self.lookup(node.path())? {
                found.push((name, node));
            }
        }
        Ok(found)
    }

    fn lookup(&self, path: &[u8]) -> Result<Option<Node>, FileError> {
        self.view.lookup(path, true).map_err(FileError::source_tree)
    }

    fn missing(&self, source: &str) -> FileError {
        let clean: Vec<&[u8]> = parts(source.as_bytes()).collect();
        let (name, dir) = clean.split_last().map_or((&b""[..], &[][..]), |(name, dir)| (*name, dir));
        let dir = self.view.lookup(&dir.join(&b'/'), true).ok().flatten();
        let names = dir.and_then(|dir| self.view.read_dir(&dir).ok()).unwrap_or_default();
        let names = names.iter().map(|node| String::from_utf8_lossy(last(node.path())).into_owned());
        FileError::NotFound { path: source.to_owned(), near: super::near(&String::from_utf8_lossy(name), names) }
    }

    /// `--parents`: what lies below the pivot `/./` keeps its path.
    fn with_parents(&mut self, source: &str) -> Result<(), FileError> {
        let (prefix, rest) = source.split_once("/./").unwrap_or(("", source));
        let include = patterns(&[rest.trim_start_matches('/').to_owned()])?;
        for (_, node) in self.matches(prefix)? {
            if node.entry().kind == Kind::Dir && self.inside(&node, &[], &include, false)? {
                self.matches += 1;
            }
        }
        Ok(())
    }

    /// Takes what lies in a directory; without `all` only what `include` matches, and the directories on the way to it.
    /// Tells whether it took anything.
    fn inside(&mut self, dir: &Node, at: &[u8], include: &PatternSet, all: bool) -> Result<bool, FileError> {
        let mut took = false;
        for child in self.view.read_dir(dir).map_err(FileError::source_tree)? {
            let path = join(at, last(child.path()));
            let wanted = all || include.matches(&path);
            let left_out = !self.exclude.is_empty() && self.exclude.matches(&path);
            let is_dir = child.entry().kind == Kind::Dir;
            let mut take = wanted && !left_out;
            if is_dir && (!left_out || self.back) {
                take |= self.inside(&child, &path, include, wanted)?;
            }
            if take {
                self.take(path, child, false)?;
                took = true;
            }
        }
        Ok(took)
    }

    fn take(&mut self, path: Vec<u8>, node: Node, named: bool) -> Result<(), FileError> {
        if let Some((before, _)) = self.taken.get(&path)
            && (before.entry().kind == Kind::Dir) != (node.entry().kind == Kind::Dir)
        {
            return Err(FileError::Conflict {
                first: shown(before.path()),
                second: shown(node.path()),
                dest: shown(&path),
            });
        }
        self.taken.insert(path, (node, named));
        Ok(())
    }

    fn finish(self) -> Result<ViewSelection, FileError> {
        let mut entries: Vec<_> = self.taken.into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| compare_paths(a, b));
        let named: Vec<usize> =
            entries.iter().enumerate().filter(|(_, (_, (_, named)))| *named).map(|(at, _)| at).collect();
        let single = entries.len() == 1 && named.len() == 1 && self.matches == 1;
        let entries: Vec<_> = entries.into_iter().map(|(path, (node, _))| (path, node)).collect();
        let placement = if single { Placement::Named } else { Placement::Below };
        Ok(ViewSelection { twins: twins(&entries, &named), entries, placement, named })
    }
}

/// Finds hard links: names that were one file in the source stay one, but for those that a source names by themselves.
fn twins(entries: &[(Vec<u8>, Node)], named: &[usize]) -> HashMap<usize, usize> {
    let mut twins = HashMap::new();
    if !entries.iter().any(|(_, node)| node.is_shared()) {
        return twins;
    }
    let mut firsts = HashMap::new();
    for (number, (_, node)) in entries.iter().enumerate() {
        if node.entry().kind != Kind::File || named.binary_search(&number).is_ok() {
            continue;
        }
        let first = *firsts.entry(node.inode()).or_insert(number);
        if first != number {
            twins.insert(number, first);
        }
    }
    twins
}

fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}
