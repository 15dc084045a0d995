//! A checkout of a repository as a tree: what depends on when and where it was made is taken out of it.
//!
//! Permissions are 0755 and 0644 whatever the umask, times are the commit's, and of a `.git` that stays the index and logs
//! tell nothing of this machine.

use std::fs::{self, File, Permissions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use graph::Source;
use oci::Digest;
use remote::git::{Checkout, Found, Git, checkout, resolve};
use store::{Fetching, Store};
use sys::{Root, Timestamp};

use super::{SourceError, key};

/// What a reference of a repository is; see [`remote::git::resolve`].
///
/// # Errors
/// [`SourceError`].
pub fn find(store: &Store, git: &Git, reference: Option<&str>, checksum: Option<&str>) -> Result<Found, SourceError> {
    Ok(resolve(git, store.root(), reference, checksum)?)
}

/// Makes the tree of a source in the store, unless it is there; gives its folder.
///
/// # Errors
/// [`SourceError`].
pub fn bring(store: &Store, git: &Git, wanted: &graph::Git) -> Result<PathBuf, SourceError> {
    let key = key(&Source::Git(wanted.clone())).unwrap_or_default();
    if let Some(tree) = store.fetched(&key)? {
        return Ok(tree);
    }
    let entry = Digest::sha256(git.remote().as_bytes()).hex()[..32].to_owned();
    let _mirror = store.lock_key(&format!("git-{entry}"))?;
    if let Some(tree) = store.fetched(&key)? {
        return Ok(tree);
    }
    let fetching = store.fetch(&key)?;
    let mirror = store.layout().git().join(entry);
    let work = fetching.home().join("work");
    let keep = wanted.keep_git_dir && wanted.subdir.is_none();
    let what = Checkout { commit: &wanted.commit, submodules: wanted.submodules, keep_git_dir: keep };
    let time = checkout(git, &mirror, &work, &what)?;
    // A mirror is collected by the time of its folder.
    drop(File::open(&mirror).and_then(|folder| folder.set_modified(SystemTime::now())));
    store.room().take(settle(&work, time, keep)?)?;
    place(&fetching, &work, wanted)?;
    Ok(fetching.finish(&key, false)?)
}

/// Moves what is wanted of the checkout to its place.
fn place(fetching: &Fetching, work: &Path, wanted: &graph::Git) -> Result<(), SourceError> {
    let from = match &wanted.subdir {
        None => work.to_path_buf(),
        Some(subdir) => below(work, subdir).map_err(|()| SourceError::Subdir {
            url: wanted.url.clone(),
            subdir: subdir.clone(),
            commit: wanted.commit.clone(),
        })?,
    };
    let tree = fetching.tree();
    fs::rename(&from, &tree).map_err(SourceError::io("rename", &from))?;
    match fs::remove_dir_all(work) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(SourceError::io("remove", work)(error)),
        _ => Ok(()),
    }
}

/// A folder of the checkout. Links of the repository lead nowhere outside, and not to `.git`, which is gone.
fn below(work: &Path, subdir: &str) -> Result<PathBuf, ()> {
    let root = Root::open(work).map_err(drop)?;
    let folder = root.open_dir(subdir).map_err(drop)?;
    let link = format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd());
    let path = fs::read_link(link).map_err(drop)?;
    let work = fs::canonicalize(work).map_err(drop)?;
    if path.starts_with(&work) && path != work { Ok(path) } else { Err(()) }
}

/// Sets permissions and times, and takes `.git` away unless it stays. Gives the bytes of all files.
fn settle(work: &Path, time: i64, keep: bool) -> Result<u64, SourceError> {
    let mut folders = vec![work.to_path_buf()];
    let mut at = 0;
    let mut bytes = 0;
    while at < folders.len() {
        let folder = folders[at].clone();
        let list = || SourceError::io("read directory", &folder);
        for entry in fs::read_dir(&folder).map_err(list())? {
            let entry = entry.map_err(list())?;
            let path = entry.path();
            let metadata = fs::symlink_metadata(&path).map_err(SourceError::io("stat", &path))?;
            if entry.file_name() == ".git" && !(keep && at == 0) {
                let removed = if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                removed.map_err(SourceError::io("remove", &path))?;
            } else if metadata.is_dir() {
                folders.push(path);
            } else {
                bytes += metadata.len();
                if metadata.is_file() {
                    let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
                    let set = fs::set_permissions(&path, Permissions::from_mode(mode));
                    set.map_err(SourceError::io("chmod", &path))?;
                }
            }
        }
        at += 1;
    }
    // A folder's time is set once nothing in it changes any more.
    let stamp = Timestamp { seconds: time, nanoseconds: 0 };
    for folder in folders.iter().rev() {
        let set = fs::set_permissions(folder, Permissions::from_mode(0o755));
        set.map_err(SourceError::io("chmod", folder))?;
        let root = Root::open(folder)?;
        for entry in fs::read_dir(folder).map_err(SourceError::io("read directory", folder))? {
            let name = entry.map_err(SourceError::io("read directory", folder))?.file_name();
            root.utimens(name, stamp, stamp)?;
        }
    }
    let parent = work.parent().unwrap_or(work);
    Root::open(parent)?.utimens(work.file_name().unwrap_or_default(), stamp, stamp)?;
    Ok(bytes)
}
