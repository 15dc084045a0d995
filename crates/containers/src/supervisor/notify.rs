//! What the service manager hears.
//!
//! Where `NOTIFY_SOCKET` is set, somebody waits to hear that we are ready: of us (`--sdnotify=conmon`), of the program
//! (`container`), or of its health (`healthy`). The main process is told to be the supervisor, before whoever started us ends:
//! it lives as long as the container, and its exit is the unit's. The program speaks to a socket of ours, and what it says goes on
//! without what only a process outside can say.

use std::io;
use std::os::fd::RawFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use runtime::container::{Mount, Source, Spec};
use rustix::event::PollFlags;
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use super::handover::Kept;
use super::serve::{Waits, Who};
use crate::config::Ready;
use crate::layout::Folder;
use crate::{Config, State};

/// Where the program finds the socket.
const INSIDE: &str = "/run/notify";
/// Its name.
const SOCKET: &str = "notify.sock";
/// The longest message that is passed on.
const MAX_MESSAGE: usize = 4096;
/// How many messages are passed on in one turn.
const MESSAGES: usize = 16;
/// What a program may say of itself. Not whose process is the main one, and no descriptors to keep.
const PASSED: [&str; 7] = ["READY", "RELOADING", "STOPPING", "STATUS", "ERRNO", "WATCHDOG", "EXTEND_TIMEOUT_USEC"];

/// Who tells the service manager.
#[derive(Debug, Default)]
pub(super) struct Notify {
    manager: Option<Manager>,
    ready: Ready,
    /// What the program speaks to, and its folder.
    socket: Option<(UnixDatagram, PathBuf)>,
    /// Whether it was said that we are ready.
    said: bool,
}

/// What is kept over an exec of the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Packed {
    socket: Option<RawFd>,
    said: bool,
}

impl Notify {
    /// Who is told is in the environment of who started us.
    pub(super) fn new(config: &Config, folder: &Folder) -> Self {
        let ready = config.notify.ready;
        let manager = manager(ready);
        let dir = folder_in(folder);
        let wanted = manager.is_some() && ready == Ready::Container;
        // A program that has nothing to speak to never says that it is ready: the service manager will tell that story.
        let socket = if wanted { listen(&dir).ok().map(|socket| (socket, dir)) } else { None };
        Self { manager, ready, socket, said: false }
    }

    /// For when the supervisor executes itself again. The socket goes along as it is: what was said is still in it, and its folder,
    /// which the container sees, is not touched again.
    pub(super) fn pack<'k>(&'k self, kept: &mut Kept<'k>) -> Packed {
        Packed { socket: self.socket.as_ref().map(|(socket, _)| kept.keep(socket)), said: self.said }
    }

    /// The same again.
    ///
    /// # Errors
    /// A descriptor that is not there.
    pub(super) fn unpack(packed: &Packed, config: &Config, folder: &Folder) -> sys::Result<Self> {
        let ready = config.notify.ready;
        let socket = packed.socket.map(sys::inherit::take).transpose()?;
        let socket = socket.map(|socket| (UnixDatagram::from(socket), folder_in(folder)));
        Ok(Self { manager: manager(ready), ready, socket, said: packed.said })
    }

    /// Gives the program its socket.
    pub(super) fn dress(&self, spec: &mut Spec) {
        let Some((_, dir)) = &self.socket else { return };
        let source = Source::Path { path: dir.clone(), recursive: false };
        spec.mounts.push(Mount { target: INSIDE.to_owned(), source, readonly: true });
        spec.env.retain(|(name, _)| name != "NOTIFY_SOCKET");
        spec.env.push(("NOTIFY_SOCKET".to_owned(), format!("{INSIDE}/{SOCKET}")));
    }

    /// The program runs.
    pub(super) fn started(&mut self) {
        let main = format!("MAINPID={}", std::process::id());
        if self.ready == Ready::Conmon {
            self.say(&format!("{main}\nREADY=1"));
            self.said = true;
        } else {
            self.say(&main);
        }
    }

    /// Says that we are ready once it is healthy.
    pub(super) fn tick(&mut self, state: &State) {
        let healthy = state.health.as_ref().is_some_and(|health| health.status == "healthy");
        if self.ready == Ready::Healthy && healthy && !self.said {
            self.said = true;
            self.say("READY=1");
        }
    }

    pub(super) fn waits<'w>(&'w self, waits: &mut Waits<'w>) {
        if let Some((socket, _)) = &self.socket {
            waits.fd(Who::Notify(0), socket, PollFlags::IN);
        }
    }

    /// The program said something.
    pub(super) fn ready(&mut self, _number: usize) {
        let mut buffer = [0; MAX_MESSAGE];
        for _ in 0..MESSAGES {
            let Some((socket, _)) = &self.socket else { return };
            let Ok(length) = socket.recv(&mut buffer) else { return };
            if let Some(message) = passed(&buffer[..length]) {
                self.say(&message);
            }
        }
    }

    fn say(&self, message: &str) {
        if let Some(manager) = &self.manager {
            manager.say(message);
        }
    }
}

/// What of a message is passed on.
fn passed(message: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(message).ok()?;
    let lines = text.lines().filter(|line| {
        line.split_once('=').is_some_and(|(name, _)| PASSED.contains(&name)) && !line.contains(char::is_control)
    });
    let message = lines.collect::<Vec<_>>().join("\n");
    (!message.is_empty()).then_some(message)
}

fn manager(ready: Ready) -> Option<Manager> {
    Manager::of_environment().filter(|_| ready != Ready::Ignore)
}

fn folder_in(folder: &Folder) -> PathBuf {
    folder.path().join("notify")
}

/// Listens in a folder that is to be mounted inside. Only while nothing runs there: what is at the path is taken away.
fn listen(dir: &Path) -> io::Result<UnixDatagram> {
    use std::os::fd::AsRawFd as _;
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    // The path may be longer than an address.
    let open = std::fs::File::open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd()));
    drop(std::fs::remove_file(&path));
    // Whoever the program runs as inside. A mode that were set afterwards could be another file's.
    let before = rustix::process::umask(Mode::empty());
    let socket = UnixDatagram::bind(&path);
    rustix::process::umask(before);
    let socket = socket?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The service manager's socket.
#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Manager {
    fn of_environment() -> Option<Self> {
        Self::at(&std::env::var("NOTIFY_SOCKET").ok()?)
    }

    fn at(written: &str) -> Option<Self> {
        let address = match written.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(written),
        };
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Self { socket, address: address.ok()? })
    }

    fn say(&self, message: &str) {
        // Nobody there: nobody waits.
        drop(self.socket.send_to_addr(message.as_bytes(), &self.address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_it_may() {
        for (said, goes_on) in [
            ("READY=1", Some("READY=1")),
            ("MAINPID=1\nREADY=1\nSTATUS=up", Some("READY=1\nSTATUS=up")),
            ("FDSTORE=1\nFDNAME=x", None),
            ("STATUS=a\x1b[2J", None),
            ("MAINPID=1", None),
            ("", None),
        ] {
            assert_eq!(passed(said.as_bytes()).as_deref(), goes_on, "{said:?}");
        }
        assert_eq!(passed(b"READY=\xff"), None);
    }

    #[test]
    fn what_was_said_before_an_exec_is_heard_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, path) = (dir.path().join("notify"), dir.path().join("manager"));
        let listener = UnixDatagram::bind(&path).unwrap();
        let socket = listen(&inside).unwrap();
        assert_eq!(std::fs::metadata(inside.join(SOCKET)).unwrap().permissions().mode() & 0o666, 0o666);
        UnixDatagram::unbound().unwrap().send_to(b"READY=1", inside.join(SOCKET)).unwrap();
        // The program swaps it meanwhile: nobody looks there again.
        let other = dir.path().join("other");
        std::fs::write(&other, "").unwrap();
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::remove_file(inside.join(SOCKET)).unwrap();
        std::os::unix::fs::symlink(&other, inside.join(SOCKET)).unwrap();
        let before = Notify { socket: Some((socket, inside.clone())), said: true, ..Notify::default() };
        let packed = before.pack(&mut Kept::default());
        let taken = sys::inherit::duplicate(packed.socket.unwrap()).unwrap();
        let manager = Manager::at(path.to_str().unwrap());
        let mut after =
            Notify { manager, socket: Some((taken.into(), inside)), said: packed.said, ..Notify::default() };
        after.ready(0);
        let mut bytes = [0; 64];
        let length = listener.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1");
        assert!(after.said);
        assert_eq!(std::fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_manager_by_path_and_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixDatagram::bind(&path).unwrap();
        let name = format!("estiba-test-{}", std::process::id());
        let other = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Manager::at(path.to_str().unwrap()).unwrap().say("READY=1");
        Manager::at(&format!("@{name}")).unwrap().say("STATUS=x");
        let mut bytes = [0; 64];
        let length = listener.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1");
        let length = other.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"STATUS=x");
    }
}
