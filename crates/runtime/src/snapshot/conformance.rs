//! What every snapshotter must do, as a suite to call.
//!
//! ```ignore
//! let child = sys::fork::child(|| { ladder::enter(&rung)?; conformance::run(&snapshotter, dir); 0 });
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

use super::whiteout::{is_opaque, is_whiteout};
use super::{RootFs, Snapshot, SnapshotError, Snapshotter};
use sys::{FileKind, Root};

/// Runs the suite; panics where the snapshotter fails it.
///
/// `dir` is a writable directory outside the snapshots. The calling process must be allowed to mount, as after
/// [`crate::ladder::enter`], unless the snapshotter gives [`RootFs::Dir`] alone.
pub fn run(snapshotter: &dyn Snapshotter, dir: &Path) {
    let suite = Suite { snapshotter, mount_point: dir.join("mnt") };
    must(fs::create_dir_all(&suite.mount_point), "make the mount point");
    let base = suite.base();
    let second = suite.second(&base);
    suite.layers_show_through(&base, &second);
    suite.nothing_done_is_nothing_kept(&base);
    suite.dropping_removes(&base);
    suite.ids_are_names(&base);
}

struct Suite<'a> {
    snapshotter: &'a dyn Snapshotter,
    mount_point: PathBuf,
}

fn must<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error}"))
}

impl Suite<'_> {
    fn step(&self, id: &str, lowers: &[&Snapshot], change: impl FnOnce(&Path) -> std::io::Result<()>) -> Snapshot {
        let lowers: Vec<PathBuf> = lowers.iter().map(|lower| lower.fs().to_owned()).collect();
        let active = must(self.snapshotter.prepare(id, &lowers), "prepare");
        self.shown(active.root_fs(), |tree| must(change(tree), "change"));
        must(active.commit(), "commit")
    }

    /// Mounts the tree where need be, and looks at it.
    fn shown(&self, root_fs: &RootFs, look: impl FnOnce(&Path)) {
        let list = |lowers: &[PathBuf]| {
            let nearest_first: Vec<String> = lowers.iter().rev().map(|path| path.display().to_string()).collect();
            nearest_first.join(":")
        };
        let data = match root_fs {
            RootFs::Dir(dir) => return look(dir),
            RootFs::View { lowers } if lowers.len() == 1 => return look(&lowers[0]),
            RootFs::View { lowers } => format!("lowerdir={},userxattr", list(lowers)),
            RootFs::Overlay { lowers, upper, work } => {
                let (upper, work) = (upper.display(), work.display());
                format!("lowerdir={},upperdir={upper},workdir={work},userxattr", list(lowers))
            }
        };
        let data = must(std::ffi::CString::new(data), "mount data");
        let mounted =
            rustix::mount::mount("overlay", &self.mount_point, "overlay", MountFlags::empty(), data.as_c_str());
        must(mounted, "mount");
        look(&self.mount_point);
        must(rustix::mount::unmount(&self.mount_point, UnmountFlags::empty()), "unmount");
    }

    fn base(&self) -> Snapshot {
        self.step("conformance-base", &[], |tree| {
            for dir in ["etc", "keep/deep", "gone/deep", "again"] {
                fs::create_dir_all(tree.join(dir))?;
            }
            for file in
                ["etc/changed", "etc/mode", "keep/deep/same", "keep/removed", "gone/deep/x", "again/old", "moved"]
            {
                fs::write(tree.join(file), file)?;
            }
            fs::hard_link(tree.join("etc/mode"), tree.join("etc/twin"))?;
            symlink("etc", tree.join("link"))
        })
    }

    /// Every kind of change.
    fn second(&self, base: &Snapshot) -> Snapshot {
        self.step("conformance-second", &[base], |tree| {
            fs::write(tree.join("etc/changed"), "anew")?;
            fs::set_permissions(tree.join("etc/mode"), fs::Permissions::from_mode(0o4711))?;
            fs::remove_file(tree.join("keep/removed"))?;
            fs::remove_dir_all(tree.join("gone"))?;
            fs::remove_dir_all(tree.join("again"))?;
            fs::create_dir(tree.join("again"))?;
            fs::write(tree.join("again/young"), "young")?;
            fs::rename(tree.join("moved"), tree.join("keep/moved"))?;
            fs::create_dir_all(tree.join("new/dir"))?;
            fs::write(tree.join("new/dir/file"), "new")?;
            fs::remove_file(tree.join("link"))?;
            symlink("keep", tree.join("link"))
        })
    }

    fn layers_show_through(&self, base: &Snapshot, second: &Snapshot) {
        assert_eq!(
            listing(second.fs()),
            BTreeMap::from([
                ("again".into(), "dir opaque".into()),
                ("again/young".into(), "young".into()),
                ("etc".into(), "dir".into()),
                ("etc/changed".into(), "anew".into()),
                ("etc/mode".into(), "etc/mode".into()),
                ("gone".into(), "gone".into()),
                ("keep".into(), "dir".into()),
                ("keep/moved".into(), "moved".into()),
                ("keep/removed".into(), "gone".into()),
                ("link".into(), "-> keep".into()),
                ("moved".into(), "gone".into()),
                ("new".into(), "dir".into()),
                ("new/dir".into(), "dir".into()),
                ("new/dir/file".into(), "new".into()),
            ])
            .into_iter()
            .chain(twin(second.fs()))
            .collect::<BTreeMap<String, String>>(),
            "what the second snapshot keeps"
        );
        let lowers = [base.fs().to_owned(), second.fs().to_owned()];
        let view = must(self.snapshotter.view("conformance-view", &lowers), "view");
        self.shown(view.root_fs(), |tree| {
            let shown = listing(tree);
            let names: Vec<&str> = shown.keys().map(String::as_str).collect();
            let expected = [
                "again",
                "again/young",
                "etc",
                "etc/changed",
                "etc/mode",
                "etc/twin",
                "keep",
                "keep/deep",
                "keep/deep/same",
                "keep/moved",
                "link",
                "new",
                "new/dir",
                "new/dir/file",
            ];
            assert_eq!(names, expected, "what both show together");
            assert_eq!(shown["etc/changed"], "anew");
            assert_eq!(must(fs::metadata(tree.join("etc/mode")), "stat").mode() & 0o7777, 0o4711);
        });
        drop(view);
        let untouched = listing(base.fs());
        assert_eq!(untouched["etc/changed"], "etc/changed", "the parent was changed");
        assert_eq!(untouched["moved"], "moved", "the parent was changed");
    }

    fn nothing_done_is_nothing_kept(&self, base: &Snapshot) {
        let nothing = self.step("conformance-nothing", &[base], |_| Ok(()));
        assert_eq!(listing(nothing.fs()), BTreeMap::new());
        let id = "conformance-nothing";
        must(self.snapshotter.remove(id), "remove");
        must(self.snapshotter.remove(id), "remove again");
        assert!(!nothing.fs().exists(), "removed, but there");
    }

    fn dropping_removes(&self, base: &Snapshot) {
        let active = must(self.snapshotter.prepare("conformance-dropped", &[base.fs().to_owned()]), "prepare");
        let dir = active.dir().to_owned();
        assert!(dir.exists());
        drop(active);
        assert!(!dir.exists(), "dropped, but there");
    }

    fn ids_are_names(&self, base: &Snapshot) {
        let lowers = [base.fs().to_owned()];
        let refused = self.snapshotter.prepare("conformance-base", &lowers);
        assert!(matches!(refused, Err(SnapshotError::Exists(_))), "{refused:?}");
        for id in ["", "..", "a/b", "/", ".hidden"] {
            let refused = self.snapshotter.prepare(id, &lowers);
            assert!(matches!(refused, Err(SnapshotError::Id(_))), "{id}: {refused:?}");
        }
    }
}

/// A hard link's other name is kept as well where the snapshotter sees names, and not where it sees a changed inode.
fn twin(fs: &Path) -> Option<(String, String)> {
    fs.join("etc/twin").exists().then(|| ("etc/twin".to_owned(), "etc/mode".to_owned()))
}

/// Each path, and what it is: `dir`, a file's content, a link's target, `gone`.
fn listing(tree: &Path) -> BTreeMap<String, String> {
    let root = must(Root::open(tree), "open");
    let mut listing = BTreeMap::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(dir) = pending.pop() {
        for entry in must(root.read_dir(&dir), "list") {
            let path = dir.join(must(entry, "list").name);
            let stat = must(root.stat(&path), "stat");
            let what = match stat.kind() {
                _ if must(is_whiteout(&root, &path, &stat), "whiteout") => "gone".to_owned(),
                FileKind::Dir if must(is_opaque(&root, &path), "opaque") => "dir opaque".to_owned(),
                FileKind::Dir => "dir".to_owned(),
                FileKind::Symlink => format!("-> {}", must(root.readlink(&path), "readlink").display()),
                _ => must(fs::read_to_string(tree.join(&path)), "read"),
            };
            if stat.is_dir() {
                pending.push(path.clone());
            }
            listing.insert(path.display().to_string(), what);
        }
    }
    listing
}
