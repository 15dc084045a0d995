//! A checkout of one commit.
//!
//! What is fetched stays in a bare repository, a mirror, so that the next commit costs what it differs in. A checkout is a
//! repository of its own that borrows the mirror's objects: submodules need one, and `.git` stays on demand.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::program::{Git, GitError};

/// What is checked out.
#[derive(Debug, Clone, Copy)]
pub struct Checkout<'a> {
    /// The commit's whole id.
    pub commit: &'a str,
    /// Whether submodules are, too.
    pub submodules: bool,
    /// Whether the repository stays in `.git`, complete in itself.
    pub keep_git_dir: bool,
}

/// Checks a commit out into `work`, which must not exist, through the bare repository `mirror`, which is made where it is
/// missing. The caller lets nobody else use either. Gives the commit's time in seconds since 1970.
///
/// With `keep_git_dir` false, `.git` of the repository and those of submodules are still there: the caller takes them away.
///
/// # Errors
/// [`GitError`].
pub fn checkout(git: &Git, mirror: &Path, work: &Path, wanted: &Checkout<'_>) -> Result<i64, GitError> {
    let format = format!("--object-format={}", if wanted.commit.len() == 64 { "sha256" } else { "sha1" });
    if !mirror.join("HEAD").exists() {
        make(mirror)?;
        git.run(mirror, ["init", "--quiet", "--bare", "--template=", &format, "."])?;
    }
    fetch(git, mirror, wanted.commit)?;
    make(work)?;
    git.run(work, ["init", "--quiet", "--template=", &format, "."])?;
    borrow(mirror, work)?;
    git.run(work, ["remote", "add", "--", "origin", git.remote()])?;
    git.run(work, ["checkout", "--quiet", "--force", "--detach", wanted.commit])?;
    if wanted.submodules && work.join(".gitmodules").symlink_metadata().is_ok_and(|found| found.is_file()) {
        submodules(git, work)?;
    }
    if wanted.keep_git_dir {
        git.run(work, ["repack", "-a", "-d", "--quiet"])?;
        let borrowed = alternates(work);
        fs::remove_file(&borrowed).map_err(io_at("remove", &borrowed))?;
        // An index that knows nothing of this machine's inodes; the next `git status` fills them in.
        let index = work.join(".git/index");
        fs::remove_file(&index).map_err(io_at("remove", &index))?;
        git.run(work, ["read-tree", wanted.commit])?;
    }
    let time = git.run(work, ["show", "--no-patch", "--format=%ct", wanted.commit])?;
    Ok(time.trim().parse().unwrap_or(0))
}

/// Brings the commit into the mirror, alone if the server gives it alone.
fn fetch(git: &Git, mirror: &Path, commit: &str) -> Result<(), GitError> {
    if has(git, mirror, commit) {
        return Ok(());
    }
    let itself = format!("+{commit}:refs/estiba/{commit}");
    let alone = ["fetch", "--quiet", "--no-tags", "--depth=1", "--no-write-fetch-head", "--", git.remote(), &itself];
    let Err(refused) = git.run(mirror, alone) else { return Ok(()) };
    // Servers of an older kind give branches and tags only. What is wrong with the address, both say.
    let all = ["+refs/heads/*:refs/estiba/heads/*", "+refs/tags/*:refs/estiba/tags/*"];
    let mut arguments = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
    if mirror.join("shallow").exists() {
        arguments.push("--unshallow");
    }
    arguments.extend(["--", git.remote(), all[0], all[1]]);
    if git.run(mirror, arguments).is_err() {
        return Err(refused);
    }
    if !has(git, mirror, commit) {
        return Err(GitError::NoReference { remote: git.remote().to_owned(), reference: commit.to_owned() });
    }
    Ok(())
}

/// Whether the mirror has the commit with all that it holds, which an interrupted fetch never leaves without a name.
fn has(git: &Git, mirror: &Path, commit: &str) -> bool {
    let containing = format!("refs/estiba/{commit}");
    git.run(mirror, ["rev-parse", "--verify", "--quiet", &containing]).is_ok()
        || git.run(mirror, ["for-each-ref", "--count=1", "--contains", commit]).is_ok_and(|names| !names.is_empty())
}

/// Lets the checkout read the mirror's objects.
fn borrow(mirror: &Path, work: &Path) -> Result<(), GitError> {
    let borrowed = alternates(work);
    let folder = work.join(".git/objects/info");
    make(&folder)?;
    let objects = mirror.join("objects");
    let mut line = objects.into_os_string().into_encoded_bytes();
    line.push(b'\n');
    fs::write(&borrowed, line).map_err(io_at("write", &borrowed))?;
    let shallow = mirror.join("shallow");
    match fs::copy(&shallow, work.join(".git/shallow")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at("copy", &shallow)(error)),
        _ => Ok(()),
    }
}

fn alternates(work: &Path) -> PathBuf {
    work.join(".git/objects/info/alternates")
}

/// Submodules at the commits that the repository names, shallow where their servers allow it.
fn submodules(git: &Git, work: &Path) -> Result<(), GitError> {
    let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
    if git.run(work, update.iter().chain(&["--depth=1"])).is_ok() {
        return Ok(());
    }
    git.run(work, update).map(drop)
}

fn make(folder: &Path) -> Result<(), GitError> {
    fs::create_dir_all(folder).map_err(io_at("mkdir", folder))
}

fn io_at(call: &str, path: &Path) -> impl FnOnce(io::Error) -> GitError + use<> {
    let what = format!("{call} {}", path.display());
    move |source| GitError::Io { what, source }
}
