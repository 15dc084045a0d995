//! Trying a rung in a child process, so that a failure leaves no trace in this one.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use serde::{Deserialize, Serialize};

use super::enter::{EnterError, Step};
use super::{Overlay, Rung, enter};

/// An id that any rung with more than one can give a file away to.
const SOMEONE_ELSE: u32 = 33;

/// What went wrong on the way to a rung.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Failure {
    /// A call, by its error number.
    Call {
        /// On which step.
        step: Step,
        /// The error number.
        errno: i32,
        /// The whole error.
        said: String,
    },
    /// newuidmap or newgidmap, in their words, or the attempt itself.
    Said(String),
    /// The overlay file system may not be mounted, nor anything else: the namespace's capabilities are empty.
    NoMounts(String),
}

/// Enters the rung in a child, and mounts an overlay in `dir` there.
pub(super) fn attempt(rung: &Rung, dir: &Path) -> Result<Overlay, Failure> {
    let said = |error: &dyn std::fmt::Display| Failure::Said(error.to_string());
    let place = Place::new(dir).map_err(|error| said(&error))?;
    let (mut read, mut write) = std::io::pipe().map_err(|error| said(&error))?;
    let (rung, path) = (*rung, place.path.clone());
    let child = sys::fork::child(move || {
        let outcome = try_here(&rung, &path);
        let bytes = serde_json::to_vec(&outcome).unwrap_or_default();
        u8::from(write.write_all(&bytes).is_err())
    });
    let child = child.map_err(|error| said(&error))?;
    let mut bytes = Vec::new();
    let _ = read.read_to_end(&mut bytes);
    let code = child.wait().map_err(|error| said(&error))?;
    serde_json::from_slice(&bytes).unwrap_or_else(|_| Err(Failure::Said(format!("the attempt ended with code {code}"))))
}

/// Runs in the child.
fn try_here(rung: &Rung, place: &Path) -> Result<Overlay, Failure> {
    if *rung == Rung::Chroot {
        let done = rustix::process::chroot(place);
        done.map_err(|errno| Failure::Said(sys::Error::new("chroot", place, errno).to_string()))?;
        return Ok(Overlay::Refused("there are no namespaces to mount in".to_owned()));
    }
    enter(rung).map_err(|error| match error {
        EnterError::Call { step, source, .. } => {
            Failure::Call { step, errno: source.errno().raw_os_error(), said: source.to_string() }
        }
        other => Failure::Said(other.to_string()),
    })?;
    mounts_work(place)?;
    match overlay_works(rung, place) {
        Ok(()) => Ok(Overlay::Native),
        Err(why) => Ok(Overlay::Refused(why)),
    }
}

/// A bind mount is the least that a container needs.
fn mounts_work(place: &Path) -> Result<(), Failure> {
    let failed = |errno| Failure::NoMounts(sys::Error::new("mount", place, errno).to_string());
    rustix::mount::mount_bind(place, place).map_err(failed)?;
    rustix::mount::unmount(place, UnmountFlags::DETACH).map_err(failed)
}

/// Why an overlay with a place to write is an invalid one.
const NO_UPPER: &str =
    "its file system can't hold an overlay's upper directory, or the kernel is older than Linux 5.11";

/// Does with an overlay what a build does: changes, deletes, replaces and labels what is below.
fn overlay_works(rung: &Rung, place: &Path) -> Result<(), String> {
    let said = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    // By relative paths, as the mount data is short.
    rustix::process::chdir(place).map_err(|errno| format!("chdir: {errno}"))?;
    for name in ["l", "l/dir", "u", "w", "m"] {
        fs::create_dir(name).map_err(said("mkdir"))?;
    }
    for name in ["l/gone", "l/changed", "l/dir/below"] {
        fs::write(name, "lower").map_err(said("write"))?;
    }
    let data = c"lowerdir=l,upperdir=u,workdir=w,userxattr";
    match rustix::mount::mount("overlay", "m", "overlay", MountFlags::empty(), data) {
        Ok(()) => {}
        Err(Errno::NODEV) => return Err("the kernel has no overlay file system (modprobe overlay)".to_owned()),
        Err(Errno::INVAL) => return Err(NO_UPPER.to_owned()),
        Err(errno) => return Err(sys::Error::new("mount", "overlay", errno).to_string()),
    }
    fs::write("m/changed", "upper").map_err(said("change a file in an overlay"))?;
    fs::remove_file("m/gone").map_err(said("delete a file in an overlay"))?;
    fs::remove_dir_all("m/dir").map_err(said("delete a directory in an overlay"))?;
    fs::create_dir("m/dir").map_err(said("make a directory again in an overlay"))?;
    let root = sys::Root::open("m").map_err(|error| error.to_string())?;
    let labelled = root.set_xattr("changed", "user.estiba.probe", b"1");
    labelled.map_err(|error| format!("its file system takes no user attributes: {error}"))?;
    if !matches!(rung, Rung::SingleId) {
        let given = root.chown("changed", SOMEONE_ELSE, SOMEONE_ELSE);
        given.map_err(|error| format!("files in an overlay can't be given away: {error}"))?;
    }
    Ok(())
}

/// A directory of its own for one attempt; gone afterwards.
struct Place {
    path: PathBuf,
}

impl Place {
    fn new(dir: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.join(format!(".probe-{}", std::process::id()));
        // What a probe that was killed left behind.
        remove(dir, &path);
        fs::create_dir(&path)?;
        Ok(Self { path: path.canonicalize()? })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(dir) = self.path.parent() {
            remove(dir, &self.path);
        }
    }
}

/// Best effort: what stays is an empty-handed directory that the next probe of this process id removes.
fn remove(dir: &Path, path: &Path) {
    if let (Ok(root), Some(name)) = (sys::Root::open(dir), path.file_name()) {
        let _ = root.remove_all(name);
    }
}
