//! Stepping onto a rung.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use sys::ns::{self, IdKind, IdMap, IdRange, Namespaces};

use super::Rung;

/// May become any user, and say so in an id map.
pub(super) const CAP_SETUID: u32 = 7;
/// May become any group, and say so in an id map.
pub(super) const CAP_SETGID: u32 = 6;

/// Why a rung could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The process has, or had, other threads.
    #[error("cannot enter the {rung} rung from a process with {threads} threads")]
    Threads {
        /// The rung's name.
        rung: &'static str,
        /// How many.
        threads: usize,
    },
    /// A kernel call failed.
    #[error("cannot enter the {rung} rung while {step}: {source}")]
    Call {
        /// The rung's name.
        rung: &'static str,
        /// What was being done.
        step: Step,
        /// The call.
        source: sys::Error,
    },
    /// The process whose namespaces were to be shared has ended, or belongs to another user.
    #[error("cannot join the namespaces of a running container: {0}")]
    Join(sys::Error),
    /// newuidmap or newgidmap is not installed.
    #[error("{0} is not installed")]
    NoHelper(&'static str),
    /// newuidmap or newgidmap refused; what it said.
    #[error("{0}")]
    Helper(String),
}

/// The steps onto a rung, as an error names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Step {
    /// Leaving the caller's namespaces.
    Unshare,
    /// Writing the id maps.
    Map,
    /// Becoming root inside.
    Ids,
    /// Making the mounts private.
    Mounts,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unshare => "making namespaces",
            Self::Map => "mapping ids",
            Self::Ids => "becoming root inside",
            Self::Mounts => "making the mounts private",
        })
    }
}

/// Enters the rung's user and mount namespaces, as root there, with private mount propagation.
///
/// Only in a process that never had a second thread. Nothing to do for [`Rung::Chroot`] and [`Rung::Unprivileged`].
pub fn enter(rung: &Rung) -> Result<(), EnterError> {
    let name = rung.name();
    let threads = ns::thread_count().unwrap_or(1);
    if threads > 1 {
        return Err(EnterError::Threads { rung: name, threads });
    }
    let failed = |step| move |source| EnterError::Call { rung: name, step, source };
    match rung {
        Rung::Root => ns::unshare(Namespaces::NEWNS).map_err(failed(Step::Unshare))?,
        Rung::SubordinateIds { uid, gid } => {
            subordinate(name, *uid, *gid)?;
            ns::become_ids(0, 0).map_err(failed(Step::Ids))?;
        }
        Rung::SingleId => {
            let (uid, gid) = own_ids();
            ns::unshare(Namespaces::NEWUSER | Namespaces::NEWNS).map_err(failed(Step::Unshare))?;
            single("self", uid, gid).map_err(failed(Step::Map))?;
            ns::become_ids(0, 0).map_err(failed(Step::Ids))?;
        }
        Rung::Chroot | Rung::Unprivileged => return Ok(()),
    }
    private_mounts().map_err(failed(Step::Mounts))
}

/// Nothing that is mounted here shows outside. What is mounted outside shows here: so `rslave` has something to hand on, and a file system
/// that is taken away outside is not kept busy by who has long been started.
fn private_mounts() -> sys::Result<()> {
    let private = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(|errno| sys::Error::new("mount", "/", errno))
}

/// Which user namespace a process steps into before it starts a container. Its mount namespace is its own in any case.
#[derive(Debug)]
pub enum Entry {
    /// One of its own, on this rung.
    Own(Rung),
    /// That of another process of the same user, which got there by the same rung: the supervisor of a container whose network,
    /// processes or messages are to be shared, or the keeper of the user's networks.
    Join(OwnedFd),
}

impl Entry {
    /// Steps in, as root there, with private mount propagation.
    ///
    /// # Errors
    /// [`EnterError`]. Only a process that never had a second thread may.
    pub fn enter(&self) -> Result<(), EnterError> {
        match self {
            Self::Own(rung) => enter(rung),
            Self::Join(pidfd) => join(pidfd),
        }
    }
}

fn join(pidfd: &OwnedFd) -> Result<(), EnterError> {
    let threads = ns::thread_count().unwrap_or(1);
    if threads > 1 {
        return Err(EnterError::Threads { rung: "shared", threads });
    }
    match ns::join(pidfd, ns::Joined::USER) {
        // With one thread that means: it is ours already. Root's supervisors make none.
        Err(error) if error.errno() == Errno::INVAL => {}
        Err(error) => return Err(EnterError::Join(error)),
        Ok(()) => {
            // Where there is one id only, there are no groups to let go of.
            let _ = rustix::thread::set_thread_groups(&[]);
            ns::become_ids(0, 0).map_err(EnterError::Join)?;
        }
    }
    ns::unshare(Namespaces::NEWNS).map_err(EnterError::Join)?;
    private_mounts().map_err(EnterError::Join)
}

fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

fn single(process: &str, uid: u32, gid: u32) -> sys::Result<()> {
    ns::deny_setgroups(process)?;
    ns::write_map(process, IdKind::User, &[IdMap { inside: 0, outside: uid, count: 1 }])?;
    ns::write_map(process, IdKind::Group, &[IdMap { inside: 0, outside: gid, count: 1 }])
}

/// 0 is the caller, 1… the subordinate ids.
fn full_map(caller: u32, range: IdRange) -> [IdMap; 2] {
    [IdMap { inside: 0, outside: caller, count: 1 }, IdMap { inside: 1, outside: range.start, count: range.count }]
}

/// The maps are written from outside: by a child forked before, which is still in the old namespace.
fn subordinate(name: &'static str, uid: IdRange, gid: IdRange) -> Result<(), EnterError> {
    let failed = |step| move |source| EnterError::Call { rung: name, step, source };
    let pipe = || std::io::pipe().map_err(|error| failed(Step::Map)(sys::Error::from_io("pipe", "", &error)));
    let ids = own_ids();
    let writer = MapWriter::find(full_map(ids.0, uid), full_map(ids.1, gid))?;
    let (mut go, mut start) = pipe()?;
    let (mut said, mut say) = pipe()?;
    // The child's ends move into it, so they are closed here.
    let child = sys::fork::child(move || {
        let mut sign = [0];
        if go.read_exact(&mut sign).is_err() || sign != GO {
            return 0;
        }
        let Err(why) = writer.write() else { return 0 };
        let _ = say.write_all(why.as_bytes());
        1
    });
    let child = child.map_err(failed(Step::Map))?;
    let left = ns::unshare(Namespaces::NEWUSER | Namespaces::NEWNS).map_err(failed(Step::Unshare));
    // A child that is gone shows in its exit code.
    let _ = start.write_all(if left.is_ok() { &GO } else { &STOP });
    let mut why = String::new();
    let _ = said.read_to_string(&mut why);
    let code = child.wait().map_err(failed(Step::Map))?;
    left?;
    if code == 0 { Ok(()) } else { Err(EnterError::Helper(why)) }
}

/// Tells the map writer that the namespace is there.
const GO: [u8; 1] = [b'y'];
/// Tells it that there won't be one.
const STOP: [u8; 1] = [b'n'];

/// How the full maps of this process get written.
struct MapWriter {
    process: u32,
    maps: [(IdKind, [IdMap; 2]); 2],
    /// newuidmap and newgidmap; none where we may write the maps ourselves.
    helpers: Option<[PathBuf; 2]>,
}

impl MapWriter {
    fn find(uid: [IdMap; 2], gid: [IdMap; 2]) -> Result<Self, EnterError> {
        let find = |kind: IdKind| ns::find_helper(kind).ok_or(EnterError::NoHelper(kind.helper()));
        let helpers = if ns::has_capability(CAP_SETUID) && ns::has_capability(CAP_SETGID) {
            None
        } else {
            Some([find(IdKind::User)?, find(IdKind::Group)?])
        };
        Ok(Self { process: std::process::id(), maps: [(IdKind::User, uid), (IdKind::Group, gid)], helpers })
    }

    fn write(&self) -> Result<(), String> {
        for (index, (kind, map)) in self.maps.iter().enumerate() {
            match &self.helpers {
                Some(helpers) => ns::write_map_by_helper(&helpers[index], self.process, map)?,
                None => {
                    let process = self.process.to_string();
                    ns::write_map(&process, *kind, map).map_err(|error| error.to_string())?;
                }
            }
        }
        Ok(())
    }
}
