//! Finding the keeper, or beginning one.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use runtime::channel::{self, Received};
use runtime::ladder::Rung;
use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sys::lock::Lock;

use super::protocol::{Join, Joined, Reply, Request};
use super::{Files, KeeperError, MARK};
use crate::ContainerId;
use crate::config::{Config, NetworkMode};
use crate::network::lease::Leases;
use crate::state::ProcessId;

/// How long a keeper may take for an answer: it serves others too, and may have to start what carries the way out.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often one is looked for that ends just then.
const ATTEMPTS: usize = 5;

/// A keeper that stays while this is held.
#[derive(Debug)]
pub struct Keeper {
    socket: OwnedFd,
    process: ProcessId,
}

/// The keeper of a store's networks; begun where there is none, by executing this program again.
///
/// # Errors
/// Why there can be none.
pub fn ensure(store: &Path, rung: &Rung) -> Result<Keeper, KeeperError> {
    ensure_by(store, rung, |store, rung| execute(store, rung, false))
}

/// Connects a container's network namespace to all its networks, in place of what it had; at each start, from its supervisor. The
/// keeper was there when the supervisor began; where it is not any more, one is begun in the supervisor's own user namespace.
///
/// # Errors
/// Why it cannot be.
pub fn join(
    store: &Path,
    rung: &Rung,
    config: &Config,
    supervisor: ProcessId,
    namespace: BorrowedFd<'_>,
) -> Result<Joined, KeeperError> {
    let NetworkMode::Networks(endpoints) = &config.network.mode else { return Ok(Joined::default()) };
    let keeper = ensure_here(store, rung)?;
    let join = Join {
        container: config.id.clone(),
        name: config.name.clone(),
        hostname: config.process.hostname.clone(),
        supervisor,
        servers: config.network.dns.clone(),
        endpoints: endpoints.clone(),
        anew: true,
    };
    keeper.join(join, namespace)
}

/// Sees to it that a keeper follows one that was killed: from the supervisor of a container in its networks.
///
/// # Errors
/// Why there can be none.
pub fn follow(store: &Path, rung: &Rung) -> Result<(), KeeperError> {
    ensure_here(store, rung).map(drop)
}

/// The keeper; where there is none, it begins in the user namespace that this process is in.
fn ensure_here(store: &Path, rung: &Rung) -> Result<Keeper, KeeperError> {
    ensure_by(store, rung, |store, rung| execute(store, rung, true))
}

pub(super) fn ensure_by(
    store: &Path,
    rung: &Rung,
    begin: impl Fn(&Path, &Rung) -> Result<(), KeeperError>,
) -> Result<Keeper, KeeperError> {
    if matches!(rung, Rung::Chroot | Rung::Unprivileged) {
        return Err(KeeperError::Rung(rung.name()));
    }
    let files = Files::of(store);
    for _ in 0..ATTEMPTS {
        if let Some(keeper) = find(store)? {
            return Ok(keeper);
        }
        let io = |error| KeeperError::Io("open", files.start(), error);
        std::fs::create_dir_all(&files.folder).map_err(io)?;
        let file = File::options().create(true).append(true).open(files.start()).map_err(io)?;
        let _one = Lock::exclusive(file)?;
        // Another one may have begun it while we waited.
        if let Some(keeper) = find(store)? {
            return Ok(keeper);
        }
        begin(store, rung)?;
    }
    Err(KeeperError::Ended)
}

/// The keeper, if there is one.
///
/// # Errors
/// The kernel's refusal.
pub fn find(store: &Path) -> Result<Option<Keeper>, KeeperError> {
    let files = Files::of(store);
    if !files.folder.is_dir() {
        return Ok(None);
    }
    let (_folder, path) = files.address()?;
    let failed = |call| move |errno| sys::Error::new(call, "networks/.socket", errno);
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(failed("socket"))?;
    let address = SocketAddrUnix::new(&path).map_err(failed("socket"))?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
        Err(errno) => return Err(failed("connect")(errno).into()),
    }
    let timeout = sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE));
    timeout.map_err(failed("setsockopt"))?;
    match ask(&socket, &Request::Hello, &[]) {
        Ok(Reply::Here(process)) => Ok(Some(Keeper { socket, process })),
        // It was about to end.
        Ok(_) | Err(KeeperError::Ended) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Has another keeper clean up after one that was killed, where one was: it ends by itself when nobody is left.
///
/// # Errors
/// Why there can be none.
pub fn tidy(store: &Path, rung: &Rung) -> Result<(), KeeperError> {
    if Files::of(store).leases().exists() && find(store)?.is_none() {
        ensure(store, rung)?;
    }
    Ok(())
}

/// Who is where, as its keeper wrote it down: those whose supervisors live.
///
/// # Errors
/// A file that is not one of ours.
pub fn leases(store: &Path) -> Result<Leases, KeeperError> {
    let path = Files::of(store).leases();
    match std::fs::read(&path) {
        Ok(bytes) => {
            let mut leases: Leases = serde_json::from_slice(&bytes)?;
            let this_boot = store::boot_id().is_ok_and(|boot| boot == leases.boot);
            leases.attachments.retain(|attachment| this_boot && attachment.supervisor.lives());
            Ok(leases)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Leases::default()),
        Err(error) => Err(KeeperError::Io("read", path, error)),
    }
}

impl Keeper {
    /// Its process.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// A descriptor of its process, whose user namespace containers in its networks must be in.
    ///
    /// # Errors
    /// When it has just ended.
    pub fn pidfd(&self) -> Result<OwnedFd, KeeperError> {
        let pid = Pid::from_raw(self.process.pid).ok_or(KeeperError::Ended)?;
        Ok(pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| sys::Error::new("pidfd_open", "", errno))?)
    }

    /// Connects a container's network namespace.
    ///
    /// # Errors
    /// Why it cannot be; then nothing has changed.
    pub fn join(&self, join: Join, namespace: BorrowedFd<'_>) -> Result<Joined, KeeperError> {
        match ask(&self.socket, &Request::Join(Box::new(join)), &[namespace])? {
            Reply::Joined(joined) => Ok(joined),
            other => Err(unexpected(other)),
        }
    }

    /// Disconnects a container, from all networks or one. One that is not connected is not an error.
    ///
    /// # Errors
    /// The keeper's.
    pub fn leave(&self, container: &ContainerId, network: Option<&ContainerId>) -> Result<(), KeeperError> {
        self.done(&Request::Leave { container: container.clone(), network: network.cloned() })
    }

    /// Says that a container has another name.
    ///
    /// # Errors
    /// The keeper's.
    pub fn rename(&self, container: &ContainerId, name: &str) -> Result<(), KeeperError> {
        self.done(&Request::Rename { container: container.clone(), name: name.to_owned() })
    }

    fn done(&self, request: &Request) -> Result<(), KeeperError> {
        match ask(&self.socket, request, &[])? {
            Reply::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }
}

impl From<Keeper> for OwnedFd {
    /// What holds it.
    fn from(keeper: Keeper) -> Self {
        keeper.socket
    }
}

fn unexpected(reply: Reply) -> KeeperError {
    match reply {
        Reply::Failed(why) => KeeperError::Refused(why),
        other => KeeperError::Refused(format!("the keeper of the networks answered {other:?}")),
    }
}

fn ask(socket: &OwnedFd, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<Reply, KeeperError> {
    match channel::send(socket, &serde_json::to_vec(request)?, fds) {
        Err(error) if matches!(error.errno(), Errno::PIPE | Errno::CONNRESET) => return Err(KeeperError::Ended),
        sent => sent?,
    }
    match channel::receive(socket, true)? {
        Received::Packet(bytes, _) => Ok(serde_json::from_slice(&bytes)?),
        Received::Nothing => {
            Err(KeeperError::Refused(format!("the keeper of the networks did not answer in {} s", PATIENCE.as_secs())))
        }
        Received::End => Err(KeeperError::Ended),
    }
}

/// Begins a keeper by executing this program again, and waits until it listens.
fn execute(store: &Path, rung: &Rung, here: bool) -> Result<(), KeeperError> {
    let (ready, said) = std::io::pipe().map_err(|error| sys::Error::from_io("pipe", "", &error))?;
    rustix::io::fcntl_setfd(&said, FdFlags::empty()).map_err(|errno| sys::Error::new("fcntl", "", errno))?;
    // Not current_exe(): its path is wrong once the binary was replaced by an upgrade.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("estiba").arg(MARK).arg(store).arg(serde_json::to_string(rung)?).arg(said.as_raw_fd().to_string());
    command.args(here.then_some(super::HERE));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    let child = command.spawn().map_err(|error| KeeperError::Io("execute", "/proc/self/exe".into(), error))?;
    drop(said);
    hear(ready, child)
}

/// What it says: nothing where all is well. The process that was started ends at once, its child is the keeper.
fn hear(mut ready: std::io::PipeReader, mut child: std::process::Child) -> Result<(), KeeperError> {
    let mut words = String::new();
    let heard = ready.read_to_string(&mut words);
    let ended = child.wait();
    match (heard, ended) {
        (Ok(_), Ok(_)) if words == super::begin::READY => Ok(()),
        (Ok(_), Ok(_)) if !words.is_empty() => Err(KeeperError::Refused(words)),
        _ => Err(KeeperError::Ended),
    }
}
