//! How much lies on disk, as `du` counts it: blocks, a file with several names once, links not followed.
//!
//! What is measured may be changed by others meanwhile, a container's processes among them: everything is reached by
//! descriptors, so that a directory that becomes a link leads nowhere else.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;
use std::rc::Rc;

use rustix::io::Errno;
use sys::{FileKind, Root, Stat};

/// Each open directory is a descriptor; what lies deeper is not counted.
pub const MAX_DEPTH: usize = 600;
/// The unit of `st_blocks`.
const BLOCK: u64 = 512;

/// Bytes on disk, summed over what it is shown. A file with several names counts where it is met first.
#[derive(Debug, Default)]
pub struct Meter {
    seen: HashSet<(u64, u64)>,
    /// Directories that lie too deep, for [`MAX_DEPTH`] or for the descriptors that this process may have: their content is missing
    /// from the sums.
    pub deep: u64,
}

impl Meter {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes on disk of everything at and below a path. What is not there, or goes away meanwhile, counts nothing.
    pub fn measure(&mut self, path: &Path) -> u64 {
        self.measure_each(path, &mut |_, _| {})
    }

    /// As [`Meter::measure`]; `each` is told of every file with its bytes.
    pub fn measure_each(&mut self, path: &Path, each: &mut dyn FnMut(&Stat, u64)) -> u64 {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return 0 };
        let Ok(parent) = Root::open(parent) else { return 0 };
        let parent = Rc::new(parent);
        self.below(vec![(parent, name.to_owned(), 0)], each)
    }

    /// As [`Meter::measure`], of what is in a directory, and not the directory itself.
    pub fn measure_in(&mut self, dir: &Root) -> u64 {
        let Ok(dir) = dir.try_clone() else { return 0 };
        let mut open = Vec::new();
        self.list(&Rc::new(dir), 0, &mut open);
        self.below(open, &mut |_, _| {})
    }

    fn below(&mut self, mut open: Vec<(Rc<Root>, OsString, usize)>, each: &mut dyn FnMut(&Stat, u64)) -> u64 {
        let mut sum = 0;
        while let Some((dir, name, depth)) = open.pop() {
            let Ok(stat) = dir.stat(&name) else { continue };
            let is_dir = stat.kind() == FileKind::Dir;
            // A name that is counted already.
            if !is_dir && stat.nlink > 1 && !self.seen.insert((stat.dev, stat.ino)) {
                continue;
            }
            let bytes = stat.blocks * BLOCK;
            sum += bytes;
            each(&stat, bytes);
            if is_dir {
                match dir.open_dir_nofollow(&name) {
                    Ok(child) if depth < MAX_DEPTH => self.list(&Rc::new(child), depth + 1, &mut open),
                    Ok(_) => self.deep += 1,
                    Err(error) => self.note(&error),
                }
            }
        }
        sum
    }

    fn list(&mut self, dir: &Rc<Root>, depth: usize, open: &mut Vec<(Rc<Root>, OsString, usize)>) {
        match dir.read_dir("") {
            Ok(names) => open.extend(names.flatten().map(|entry| (Rc::clone(dir), entry.name, depth))),
            Err(error) => self.note(&error),
        }
    }

    /// What went away meanwhile is nothing to count, and what may not be read nobody writes to either who is like us.
    fn note(&mut self, error: &sys::Error) {
        self.deep += u64::from(matches!(error.errno(), Errno::MFILE | Errno::NFILE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn as_du_counts() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/big"), vec![7; 100_000]).unwrap();
        fs::write(tree.join("a/b/small"), "x").unwrap();
        fs::hard_link(tree.join("a/big"), tree.join("same")).unwrap();
        std::os::unix::fs::symlink("/usr", tree.join("outside")).unwrap();
        let said = std::process::Command::new("du").args(["-s", "-B1"]).arg(&tree).output().unwrap();
        let du: u64 = String::from_utf8(said.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(Meter::new().measure(&tree), du);
        assert_eq!(Meter::new().measure(&dir.path().join("nothing")), 0);
        let mut meter = Meter::new();
        let first = meter.measure(&tree.join("a"));
        let second = meter.measure(&tree.join("same"));
        assert!(first > 100_000 && second == 0, "{first} {second}");
    }

    #[test]
    fn what_is_too_deep_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let top = Root::open(dir.path()).unwrap();
        let chain = |levels| vec!["d"; levels].join("/");
        top.mkdir_all(chain(MAX_DEPTH), 0o700).unwrap();
        let mut meter = Meter::new();
        meter.measure_in(&top);
        assert_eq!(meter.deep, 0);
        top.mkdir_all(chain(MAX_DEPTH + 2), 0o700).unwrap();
        meter.measure_in(&top);
        assert_eq!(meter.deep, 1);
    }
}
