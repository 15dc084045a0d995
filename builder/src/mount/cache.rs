//! Cache mounts: directories of the store that outlive builds.
//!
//! `<mounts>/<hash of the id>/<n>` is an instance, `<n>.lock` beside it says who uses it: many who share, one who locked
//! it. `private` takes the first instance that nobody uses. Locks are taken in the order of their paths, so that
//! two RUNs with the same two caches never wait for each other.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use graph::{Exec, FileAction, FileOp, MountKind, Sharing};
use runtime::ladder::Rung;
use runtime::tree::LayerBuilder;
use runtime::tree::view::TreeView;
use sys::Root;
use sys::lock::Lock;

use super::{MountError, travel};
use crate::Event;
use crate::build::Build;
use crate::cache::content;
use crate::op::file;
use crate::solver::state::V;

/// How often a RUN that waits for a locked cache looks again.
const POLL: Duration = Duration::from_millis(15);
/// More private instances of one cache than RUNs that could be at work.
const MAX_INSTANCES: usize = 1024;

/// Takes all cache mounts of a RUN: their locks, and their directories by the mount's number.
pub(super) fn take(build: &Build<'_>, v: V, exec: &Exec) -> Result<(Vec<Lock>, HashMap<usize, PathBuf>), MountError> {
    let mut wanted = BTreeMap::new();
    for (number, mount) in exec.mounts.iter().enumerate() {
        if let MountKind::Cache { id, sharing, .. } = &mount.kind {
            // One RUN that names a cache twice is one user of it, who would wait for himself: the strictest wish counts.
            let (strictest, numbers) =
                wanted.entry(build.store.layout().cache_mount(id)).or_insert((*sharing, Vec::new()));
            *strictest = stricter(*strictest, *sharing);
            numbers.push(number);
        }
    }
    let (mut held, mut paths) = (Vec::new(), HashMap::new());
    for (home, (sharing, numbers)) in wanted {
        arrive(build, exec, numbers[0], &home)?;
        let (lock, path) = instance(build, &home, sharing)?;
        fill(build, v, exec, numbers[0], &path)?;
        held.push(lock);
        paths.extend(numbers.into_iter().map(|number| (number, path.clone())));
    }
    Ok((held, paths))
}

/// Brings a mount from the build's caches, where one has it younger than it is here. Who uses it already goes on with what
/// is here; what goes wrong costs the RUN its head start, and is said.
fn arrive(build: &Build<'_>, exec: &Exec, number: usize, home: &Path) -> Result<(), MountError> {
    let MountKind::Cache { id, .. } = &exec.mounts[number].kind else { return Ok(()) };
    let places = build.travelling.places(build, id);
    if places.is_empty() {
        return Ok(());
    }
    let path = home.join("0");
    let is_new = !path.exists();
    fs::create_dir_all(home).map_err(io("mkdir", home))?;
    let lock = path.with_extension("lock");
    let mut how = OpenOptions::new();
    let file = how.write(true).create(true).truncate(false).mode(0o600).open(&lock).map_err(io("open", &lock))?;
    let Ok(held) = Lock::try_exclusive(file)? else { return Ok(()) };
    if is_removed(&held, &lock)? {
        return Ok(());
    }
    let _making = build.store.lock_key(&making(home))?;
    let owners = !build.sandbox.is_some_and(|sandbox| matches!(sandbox.probe.rung, Rung::SingleId));
    let note = |message: String| build.emit(Event::Note { message });
    let came = travel::import(build.store, id, &path, owners, places, &mut |place, error| {
        note(format!("cache mount {id} did not come from {}: {error}", place.place()));
    });
    let Some(moved) = came else { return Ok(()) };
    if is_new && path.exists() {
        fs::write(home.join("id"), id).map_err(io("write", home))?;
    }
    note(format!("cache mount {id}: {} paths came, {} bytes moved", moved.files, moved.bytes));
    Ok(())
}

/// The name of the lock of whoever makes or replaces an instance.
fn making(home: &Path) -> String {
    format!("mount-{}", home.file_name().unwrap_or_default().to_string_lossy())
}

fn stricter(one: Sharing, other: Sharing) -> Sharing {
    match (one, other) {
        (Sharing::Locked, _) | (_, Sharing::Locked) => Sharing::Locked,
        (Sharing::Private, _) | (_, Sharing::Private) => Sharing::Private,
        (Sharing::Shared, Sharing::Shared) => Sharing::Shared,
    }
}

fn io(call: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> MountError + use<> {
    let path = path.to_path_buf();
    move |source| MountError::Io { call, path, source }
}

/// Whether a collector removed a lock's name between the open and the lock: what we hold locks nothing then.
fn is_removed(lock: &Lock, path: &Path) -> Result<bool, MountError> {
    Ok(lock.file().metadata().map_err(io("stat", path))?.nlink() == 0)
}

/// An instance that may be used now.
fn instance(build: &Build<'_>, home: &Path, sharing: Sharing) -> Result<(Lock, PathBuf), MountError> {
    let open = |number: usize| {
        let path = home.join(format!("{number}.lock"));
        loop {
            fs::create_dir_all(home).map_err(io("mkdir", home))?;
            let mut options = OpenOptions::new();
            match options.write(true).create(true).truncate(false).mode(0o600).open(&path) {
                // A collector removed the empty folder.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => return other.map_err(io("open", &path)),
            }
        }
    };
    let path = |number: usize| home.join(number.to_string());
    loop {
        let taken = match sharing {
            Sharing::Shared => Lock::try_shared(open(0)?)?.ok().map(|lock| (lock, path(0))),
            Sharing::Locked => Lock::try_exclusive(open(0)?)?.ok().map(|lock| (lock, path(0))),
            Sharing::Private => {
                let mut free = None;
                for number in 0..MAX_INSTANCES {
                    if let Ok(lock) = Lock::try_exclusive(open(number)?)? {
                        free = Some((lock, path(number)));
                        break;
                    }
                }
                free
            }
        };
        if let Some((lock, path)) = taken {
            if !is_removed(&lock, &path)? {
                // A collector gives up what was used longest ago.
                lock.file().set_modified(SystemTime::now()).map_err(io("utimens", &path))?;
                return Ok((lock, path));
            }
            continue;
        }
        if build.stop.is_cancelled() {
            return Err(MountError::Cancelled);
        }
        std::thread::sleep(POLL);
    }
}

/// Makes a new instance: its seed, permissions and owner. It appears whole, so that those who share see all of it.
fn fill(build: &Build<'_>, v: V, exec: &Exec, number: usize, path: &Path) -> Result<(), MountError> {
    let MountKind::Cache { id, seed, mode, uid, gid, .. } = &exec.mounts[number].kind else { return Ok(()) };
    if path.exists() {
        return Ok(());
    }
    let home = path.parent().unwrap_or(path);
    let _making = build.store.lock_key(&making(home))?;
    if path.exists() {
        return Ok(());
    }
    let partial = path.with_extension("new");
    crate::layers::remove(&partial)?;
    fs::create_dir(&partial).map_err(io("mkdir", &partial))?;
    if let Some((input, source)) = seed {
        let copy_error = |source| MountError::Copy { target: exec.mounts[number].target.clone(), source };
        sow(build, v, *input, source, &partial).map_err(copy_error)?;
    }
    fs::set_permissions(&partial, fs::Permissions::from_mode(*mode)).map_err(io("chmod", &partial))?;
    let single = build.sandbox.is_some_and(|sandbox| matches!(sandbox.probe.rung, Rung::SingleId));
    if (*uid, *gid) != (0, 0) && !single {
        std::os::unix::fs::chown(&partial, Some(*uid), Some(*gid)).map_err(io("chown", &partial))?;
    }
    // For people who ask what takes the space.
    fs::write(home.join("id"), id).map_err(io("write", home))?;
    fs::rename(&partial, path).map_err(io("rename", &partial))
}

/// Copies the seed.
fn sow(
    build: &Build<'_>,
    v: V,
    input: usize,
    source: &str,
    into: &Path,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let from = build.input(v, input)?;
    let mut copy = content::bind(1, source);
    "/".clone_into(&mut copy.dest);
    copy.dest_is_dir = true;
    let scratch = Arc::new(TreeView::new(Vec::new())?);
    let operation = FileOp { actions: vec![FileAction::Copy(copy)] };
    let laid = file::lay(&operation, &scratch, &[None, Some(from)], build.now, file::result::scratch_file(build)?)?;
    if let Some(laid) = laid {
        let builder = LayerBuilder::new(std::io::sink()).tree(&Root::open(into)?, build.layers.ids(into))?;
        let builder = builder.allowance(crate::layers::allowance(build.store));
        file::write(laid, builder, &build.stop, &mut |_, _| {})?;
    }
    Ok(())
}
