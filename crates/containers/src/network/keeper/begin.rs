//! How a keeper begins: out of its parent's session, into its namespaces, with what another one left.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use runtime::ladder::{Entry, Rung};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use sys::clone::{Forked, Namespaces};
use sys::lock::Lock;

use super::place::Place;
use super::serve::Serving;
use super::{Files, KeeperError, Plan};
use crate::network::lease::Leases;

/// What it says when it listens.
pub(super) const READY: &str = "ready\n";
/// How long one that ends may take to let go of its lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many wait to be accepted.
const BACKLOG: i32 = 256;

/// Leaves whoever began it, and serves.
pub(super) fn run(plan: &Plan) -> u8 {
    let Ok(said) = sys::inherit::duplicate(plan.ready) else { return 1 };
    // Who waits for the end of what we say would wait for ours, were a second descriptor of it left open.
    let _ = sys::exec::close_inherited(3, &[said.as_raw_fd()]);
    match sys::clone::fork(Namespaces::NONE) {
        Ok(Forked::Child) => {}
        Ok(Forked::Parent { .. }) => return 0,
        Err(_) => return 1,
    }
    let _ = rustix::process::setsid();
    // The unit of who began it ends with that one's container; others' are served after that. Where it cannot leave, it serves there.
    let name = format!("networks-{}", std::process::id());
    drop(runtime::cgroup::systemd::leave_unit(&name, "estiba keeper of networks"));
    more_descriptors();
    let mut said = File::from(said);
    match begin(plan) {
        Ok(serving) => {
            // Who began it may have gone.
            drop(said.write_all(READY.as_bytes()));
            drop(said);
            serving.serve();
            0
        }
        Err(error) => {
            // Nobody else hears it.
            drop(said.write_all(error.to_string().as_bytes()));
            1
        }
    }
}

/// A container takes two descriptors, a question that waits one: as many as we may have.
fn more_descriptors() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}

/// Sets everything up, short of serving.
pub(super) fn begin(plan: &Plan) -> Result<Serving, KeeperError> {
    let files = Files::of(&plan.store);
    let lock = lock(&files)?;
    let before = survivors(&files)?;
    let place = if plan.rung == Rung::Root {
        Place::host()?
    } else {
        if !plan.here {
            enter(plan, &before)?;
        }
        Place::new()?
    };
    let listener = listen(&files)?;
    let mut serving = Serving::new(plan, files, lock, listener, place);
    serving.adopt(before);
    Ok(serving)
}

fn lock(files: &Files) -> Result<Lock, KeeperError> {
    let until = Instant::now() + PATIENCE;
    let path = files.lock();
    let mut file =
        File::options().create(true).append(true).open(&path).map_err(|error| KeeperError::Io("open", path, error))?;
    loop {
        match Lock::try_exclusive(file)? {
            Ok(lock) => return Ok(lock),
            Err(_) if Instant::now() > until => {
                return Err(KeeperError::Refused(
                    "another keeper of the networks is there, and does not listen".to_owned(),
                ));
            }
            Err(back) => file = back,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What another one left: the containers that still run, its carriers ended.
fn survivors(files: &Files) -> Result<Leases, KeeperError> {
    let boot = store::boot_id().unwrap_or_default();
    let bytes = match std::fs::read(files.leases()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        read => read.map_err(|error| KeeperError::Io("read", files.leases(), error))?,
    };
    // What cannot be read is of a later version, or of another boot: nobody of its time is left that we could serve.
    let mut left: Leases = serde_json::from_slice(&bytes).unwrap_or_default();
    if left.boot != boot {
        left = Leases::default();
    }
    for carrier in left.carriers.drain(..) {
        super::serve::end(carrier);
    }
    left.attachments.retain(|attachment| attachment.supervisor.lives());
    Ok(Leases { boot, keeper: super::serve::here(), driver: None, ..left })
}

/// Into the user namespace of those that are left, or a new one.
fn enter(plan: &Plan, before: &Leases) -> Result<(), KeeperError> {
    let shared = before.attachments.iter().find_map(|attachment| attachment.supervisor.open());
    let entry = shared.map_or_else(|| Entry::Own(plan.rung), Entry::Join);
    Ok(entry.enter()?)
}

fn listen(files: &Files) -> Result<OwnedFd, KeeperError> {
    let (_folder, path) = files.address()?;
    let failed = |call| move |errno| sys::Error::new(call, "networks/.socket", errno);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(KeeperError::Io("remove", path, error)),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(failed("socket"))?;
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let address = SocketAddrUnix::new(&path).map_err(failed("bind"))?;
    let bound = rustix::net::bind(&socket, &address).map_err(failed("bind"));
    rustix::process::umask(before);
    bound?;
    rustix::net::listen(&socket, BACKLOG).map_err(failed("listen"))?;
    Ok(socket)
}
