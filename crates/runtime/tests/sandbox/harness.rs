//! Specifications, and the example binary that runs them in a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use estiba_runtime::container::{RootFs, Spec};
use fixtures::User;
use tempfile::TempDir;

/// A busybox tree, and a place for layers, owned by whoever will run the container.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) user: Option<User>,
    helper: PathBuf,
    runs: AtomicUsize,
}

/// An example that runs containers; `cargo test` builds it beside the tests.
fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let helper = own.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(helper.exists(), "{} is missing: build the examples too", helper.display());
    helper
}

impl Bench {
    /// For root; `None` (and a skip) where the tests don't run as root, or there is no busybox.
    pub(crate) fn root() -> Option<Self> {
        if !fixtures::is_root() {
            fixtures::skip("only root can run containers on the root rung");
            return None;
        }
        Self::new(None)
    }

    pub(crate) fn of(user: Option<User>) -> Option<Self> {
        user.and_then(|user| Self::new(Some(user)))
    }

    fn new(user: Option<User>) -> Option<Self> {
        let busybox = fixtures::busybox()?;
        let dir = match &user {
            Some(user) => user.temp_dir().unwrap(),
            None => tempfile::tempdir().unwrap(),
        };
        let lower = dir.path().join("lower");
        std::fs::create_dir(&lower).unwrap();
        fixtures::write_rootfs(&busybox, &lower).unwrap();
        let helper = match &user {
            Some(user) => user.install(&example("sandbox_run"), dir.path()).unwrap(),
            None => example("sandbox_run"),
        };
        if let Some(user) = &user {
            let owner = format!("{}:{}", user.uid, user.gid);
            let changed = Command::new("chown").args(["-hR", &owner]).arg(&lower).status().unwrap();
            assert!(changed.success());
        }
        Some(Self { dir, user, helper, runs: AtomicUsize::new(0) })
    }

    pub(crate) fn lower(&self) -> PathBuf {
        self.dir.path().join("lower")
    }

    /// An overlay over the busybox tree, with a new top.
    pub(crate) fn overlay(&self) -> RootFs {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let make = |name: &str| {
            let path = self.dir.path().join(format!("{name}{run}"));
            std::fs::create_dir(&path).unwrap();
            if let Some(user) = &self.user {
                user.own(&path).unwrap();
            }
            path
        };
        RootFs::Overlay { lowers: vec![self.lower()], upper: make("upper"), work: make("work") }
    }

    /// A shell script to run over the busybox tree.
    pub(crate) fn script(&self, text: &str) -> Spec {
        Spec::new(self.overlay(), ["/bin/sh", "-c", text].map(str::to_owned).to_vec())
    }

    pub(crate) fn command(&self, spec: &Spec, modes: &[&str]) -> Command {
        self.renew(&spec.rootfs);
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let file = self.dir.path().join(format!("spec{run}.json"));
        std::fs::write(&file, serde_json::to_vec(spec).unwrap()).unwrap();
        let mut command = self.as_user(&self.helper);
        command.arg(file).args(modes);
        command
    }

    /// A program, as who runs the containers.
    pub(crate) fn as_user(&self, program: &Path) -> Command {
        match &self.user {
            Some(user) => user.command(program),
            None => Command::new(program),
        }
    }

    /// The example that joins containers, where that one may execute it.
    pub(crate) fn joiner(&self) -> PathBuf {
        match &self.user {
            Some(user) => user.install(&example("sandbox_join"), self.dir.path()).unwrap(),
            None => example("sandbox_join"),
        }
    }

    /// Overlay mounts a work directory once only, when it was told never to sync.
    fn renew(&self, rootfs: &RootFs) {
        let RootFs::Overlay { work, .. } = rootfs else { return };
        std::fs::remove_dir_all(work).unwrap();
        std::fs::create_dir(work).unwrap();
        if let Some(user) = &self.user {
            user.own(work).unwrap();
        }
    }

    pub(crate) fn run(&self, spec: &Spec, modes: &[&str]) -> Ran {
        let output = self.command(spec, modes).output().unwrap();
        Ran::of(&output)
    }
}

/// What a container said, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Its output, of a container that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// What a run left in the writable layer, sorted; directories end with a slash.
pub(crate) fn upper_listing(rootfs: &RootFs) -> Vec<String> {
    let RootFs::Overlay { upper, .. } = rootfs else { return Vec::new() };
    let mut names = Vec::new();
    list(upper, upper, &mut names);
    names.sort();
    names
}

fn list(root: &Path, dir: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(root).unwrap().display().to_string();
        if entry.file_type().unwrap().is_dir() {
            names.push(format!("{name}/"));
            list(root, &entry.path(), names);
        } else {
            names.push(name);
        }
    }
}
