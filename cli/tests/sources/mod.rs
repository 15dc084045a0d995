//! What ADD and build contexts fetch: real repositories behind `git http-backend`, and files, on a loopback port.

mod contexts;
mod fetched;
mod hostile;
mod lock;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fixtures::{Answer, Asked, Host};
use tempfile::TempDir;

/// A server of repositories (below `/git/`) and files, as they lie in a folder.
struct Site {
    dir: TempDir,
    host: Host,
}

impl Site {
    /// Serves an empty folder; `None` where there is no git.
    fn new() -> Option<Self> {
        Self::guarded("")
    }

    /// As [`Site::new`], for those who send this `Authorization`.
    fn guarded(authorization: &'static str) -> Option<Self> {
        if Command::new("git").arg("--version").output().is_err() {
            fixtures::skip("there is no git");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_path_buf();
        let host = Host::start(move |asked| {
            if asked.header("authorization") != authorization && !authorization.is_empty() {
                return Answer::new(401, "who are you?").header("WWW-Authenticate", "Basic realm=\"x\"");
            }
            if let Some(to) = asked.query("to").filter(|_| asked.path() == "/redirect") {
                return Answer::new(302, "").header("Location", to);
            }
            match asked.path().starts_with("/git/") {
                true => backend(&root, asked),
                false => file(&root, asked),
            }
        });
        Some(Self { dir, host: host.unwrap() })
    }

    /// The address of something that is served.
    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.host.address())
    }

    /// Writes a file to serve.
    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.dir.path().join(path), bytes).unwrap();
    }

    /// Makes a repository of these files with one commit, the tag `v1` and the branch `main`; gives its working folder.
    fn repository(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let work = self.dir.path().join(format!("{name}-work"));
        fs::create_dir_all(&work).unwrap();
        git(&work, &["init", "-q", "-b", "main"]);
        self.commit(name, files);
        git(&work, &["tag", "-am", "one", "v1"]);
        self.publish(name);
        work
    }

    /// Adds a commit of these files.
    fn commit(&self, name: &str, files: &[(&str, &str)]) {
        let work = self.dir.path().join(format!("{name}-work"));
        for (path, text) in files {
            let path = work.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-qm", "change"]);
        self.publish(name);
    }

    /// Serves what the working folder has.
    fn publish(&self, name: &str) {
        let bare = self.dir.path().join("git").join(format!("{name}.git"));
        let work = self.dir.path().join(format!("{name}-work"));
        if bare.exists() {
            for what in ["--all", "--tags"] {
                git(&work, &["push", "-q", what, bare.to_str().unwrap()]);
            }
            return;
        }
        fs::create_dir_all(bare.parent().unwrap()).unwrap();
        git(self.dir.path(), &["clone", "-q", "--bare", work.to_str().unwrap(), bare.to_str().unwrap()]);
    }
}

/// Runs git as somebody, at one time.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(folder).args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "n").env(format!("GIT_{who}_EMAIL"), "n@example.com");
        command.env(format!("GIT_{who}_DATE"), "2020-01-01T00:00:00Z");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The repositories' CGI program.
fn backend(root: &Path, asked: &Asked) -> Answer {
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &asked.method)
        .env("PATH_INFO", asked.path())
        .env("QUERY_STRING", asked.target.split_once('?').map_or("", |(_, query)| query))
        .env("CONTENT_TYPE", asked.header("content-type"))
        .env("HTTP_CONTENT_ENCODING", asked.header("content-encoding"))
        .env("GIT_PROTOCOL", asked.header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = asked.body.clone();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&body)));
    let said = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    let end = said.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0);
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    let headers: Vec<_> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    let status = headers.iter().find(|(name, _)| *name == "Status").and_then(|(_, value)| value[..3].parse().ok());
    let answer = Answer::new(status.unwrap_or(200), said[(end + 4).min(said.len())..].to_vec());
    headers
        .iter()
        .filter(|(name, _)| *name != "Status")
        .fold(answer, |answer, (name, value)| answer.header(name, value))
}

/// A file, with an `ETag` made of its bytes.
fn file(root: &Path, asked: &Asked) -> Answer {
    let Ok(bytes) = fs::read(root.join(asked.path().trim_start_matches('/'))) else {
        return Answer::new(404, "there is no such file");
    };
    let tag = format!("\"{}\"", oci::Digest::sha256(&bytes).hex());
    if asked.header("if-none-match") == tag {
        return Answer::new(304, "");
    }
    Answer::new(200, bytes).header("ETag", tag).header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
}

/// Every file below a folder whose bytes have `needle` in them.
fn files_with(dir: &Path, needle: &str) -> Vec<String> {
    let has = |path: &String| {
        fs::read(dir.join(path))
            .is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
    };
    crate::runner::files_below(dir).into_iter().filter(has).collect()
}
