//! A hermetic place to run the binary in.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with a store, a home and a working folder; gone when dropped, and its containers before.
pub(crate) struct Env {
    dir: TempDir,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Drop for Env {
    fn drop(&mut self) {
        if self.root().join("containers").is_dir() {
            self.run(&["rm", "--all", "--force", "--volumes"]);
        }
    }
}

impl Env {
    /// An empty place.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("estiba-cli-").tempdir().unwrap();
        for name in ["home", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        // A test asks nobody outside: what it mistypes is not looked for in the world.
        let blocked = "[[registry]]\nlocation = \"docker.io\"\nblocked = true\n";
        fs::write(dir.path().join("registries.conf"), blocked).unwrap();
        Self { dir }
    }

    /// A place whose store holds the image `busybox`; `None` where there is no busybox.
    pub(crate) fn with_busybox() -> Option<Self> {
        let busybox = fixtures::busybox()?;
        let env = Self::new();
        let layout = fixtures::Image::busybox(&busybox).layout_in(env.dir.path(), "layout").unwrap();
        env.ok(&["load", "--tag", "busybox", "-i", layout.to_str().unwrap()]);
        Some(env)
    }

    /// The working folder.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// The store's folder.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// The folder of a container.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let containers = self.root().join("containers");
        containers.join(fs::read_link(containers.join("names").join(name)).unwrap())
    }

    /// The state of a container, as its supervisor wrote it last.
    pub(crate) fn state(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.folder(name).join("state.json")).unwrap()).unwrap()
    }

    /// Writes a file below the working folder.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The binary with a clean environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estiba"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path().join("home"))
            .env("ESTIBA_ROOT", self.root())
            .env("CONTAINERS_REGISTRIES_CONF", self.dir.path().join("registries.conf"))
            .env("LC_ALL", "C")
            .current_dir(self.work())
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().unwrap())
    }

    /// Runs the binary with bytes on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Said {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // A program that does not read its input is no failure of the writer's.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        said(output)
    }

    /// Runs the binary, which must succeed; gives its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "estiba {arguments:?}: {said:#?}");
        said.stdout
    }

    /// Runs the binary, which must fail with this code; gives its standard error.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, code, "estiba {arguments:?}: {said:#?}");
        said.stderr
    }

    /// Builds the working folder with this Dockerfile.
    pub(crate) fn build(&self, dockerfile: &str, arguments: &[&str]) -> Said {
        self.write("Dockerfile", dockerfile);
        self.run(&[&["build", "--progress=plain"], arguments, &["."]].concat())
    }
}

fn said(output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Every file below a folder, as relative paths, sorted.
pub(crate) fn files_below(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}
