//! The socket that a RUN speaks to. Either we are the agent, or we stand before one and let through what asks and signs:
//! nobody inside adds, removes or locks a key.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::key::Key;
use super::wire::{self, Reader};

/// The longest message that OpenSSH's agent takes.
const MAX_MESSAGE: u32 = 256 << 10;
/// More conversations at once than a RUN has reason for.
const MAX_PEERS: usize = 256;

/// Messages: draft-miller-ssh-agent, section 5.1.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const EXTENSION: u8 = 27;
/// The one extension that only takes rights away: it tells the agent which host a key is about to be used for.
const BIND: &[u8] = b"session-bind@openssh.com";

/// Who answers.
#[derive(Clone)]
pub(super) enum Answerer {
    Keys(Arc<Vec<Key>>),
    Socket(PathBuf),
    Raw(PathBuf),
}

/// A socket that is answered until this is dropped.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    peers: Peers,
    thread: Option<thread::JoinHandle<()>>,
}

/// The conversations that go on, by number; `None` when there are to be no more.
type Peers = Arc<Mutex<Option<HashMap<u64, UnixStream>>>>;

impl Listener {
    /// Listens at `folder/name`.
    pub(super) fn start(folder: &Path, name: &str, answerer: Answerer) -> io::Result<Self> {
        let path = folder.join(name);
        // The kernel takes short paths only, and stores have long ones.
        let dir = File::open(folder)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&dir))).join(name);
        let socket = UnixListener::bind(&short)?;
        let peers: Peers = Arc::new(Mutex::new(Some(HashMap::new())));
        let ours = Arc::clone(&peers);
        let thread =
            thread::Builder::new().name("ssh-agent".to_owned()).spawn(move || accept(&socket, &ours, &answerer))?;
        Ok(Self { path, peers, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let all = self.peers.lock().unwrap_or_else(PoisonError::into_inner).take();
        for peer in all.iter().flat_map(HashMap::values) {
            // One that has ended already needs no end.
            let _ = peer.shutdown(Shutdown::Both);
        }
        // Wakes the thread, which then sees that there is nothing more to do.
        let woken = wake(&self.path).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn wake(path: &Path) -> io::Result<()> {
    let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&folder)));
    UnixStream::connect(short.join(path.file_name().unwrap_or_default())).map(drop)
}

fn accept(socket: &UnixListener, peers: &Peers, answerer: &Answerer) {
    for number in 0.. {
        let Ok((peer, _)) = socket.accept() else { return };
        let mut all = peers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = all.as_mut() else { return };
        // Where so many go on, the newcomer has to try again.
        if open.len() >= MAX_PEERS {
            continue;
        }
        let Ok(copy) = peer.try_clone() else { continue };
        open.insert(number, copy);
        drop(all);
        let ours = Ending { peers: Arc::clone(peers), number };
        let answerer = answerer.clone();
        let talk = move || {
            let _ours = ours;
            // A conversation that breaks is the program's affair.
            let _ = converse(&peer, &answerer);
            let _ = peer.shutdown(Shutdown::Both);
        };
        let _ = thread::Builder::new().name("ssh-agent-peer".to_owned()).spawn(talk);
    }
}

/// Takes a conversation out of the list when it ends, also one that never got a thread.
struct Ending {
    peers: Peers,
    number: u64,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(open) = self.peers.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            open.remove(&self.number);
        }
    }
}

fn converse(peer: &UnixStream, answerer: &Answerer) -> io::Result<()> {
    match answerer {
        Answerer::Keys(keys) => {
            while let Some(message) = receive(peer)? {
                send(peer, &answer(keys, &message).unwrap_or_else(|| vec![FAILURE]))?;
            }
            Ok(())
        }
        Answerer::Socket(path) => {
            let agent = UnixStream::connect(path)?;
            while let Some(message) = receive(peer)? {
                if !is_harmless(&message) {
                    send(peer, &[FAILURE])?;
                    continue;
                }
                send(&agent, &message)?;
                let Some(reply) = receive(&agent)? else { return Ok(()) };
                send(peer, &reply)?;
            }
            Ok(())
        }
        Answerer::Raw(path) => {
            let agent = UnixStream::connect(path)?;
            let (from, to) = (peer.try_clone()?, agent.try_clone()?);
            let forth = thread::Builder::new().name("ssh-agent-raw".to_owned()).spawn(move || pass(&from, &to))?;
            pass(&agent, peer);
            drop(forth.join());
            Ok(())
        }
    }
}

/// Passes bytes on to the end of one side, and tells the other.
fn pass(from: &UnixStream, to: &UnixStream) {
    let (mut reader, mut writer) = (from, to);
    let _ = io::copy(&mut reader, &mut writer);
    let _ = to.shutdown(Shutdown::Write);
}

fn receive(mut from: &UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_be_bytes(length);
    if length == 0 || length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long"));
    }
    let mut message = vec![0; length as usize];
    from.read_exact(&mut message)?;
    Ok(Some(message))
}

fn send(mut to: &UnixStream, message: &[u8]) -> io::Result<()> {
    let mut packet = Vec::with_capacity(message.len() + 4);
    wire::string(&mut packet, message);
    to.write_all(&packet)
}

/// Whether a message only asks, signs, or binds.
fn is_harmless(message: &[u8]) -> bool {
    match message.first() {
        Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)) => true,
        Some(&EXTENSION) => Reader(&message[1..]).string() == Some(BIND),
        _ => false,
    }
}

/// Our own answer; `None` is a refusal.
fn answer(keys: &[Key], message: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(message);
    match reader.byte()? {
        REQUEST_IDENTITIES => {
            let mut out = vec![IDENTITIES_ANSWER];
            out.extend_from_slice(&u32::try_from(keys.len()).ok()?.to_be_bytes());
            for key in keys {
                wire::string(&mut out, &key.public);
                wire::string(&mut out, key.comment.as_bytes());
            }
            Some(out)
        }
        SIGN_REQUEST => {
            let (public, data, flags) = (reader.string()?, reader.string()?, reader.number()?);
            let key = keys.iter().find(|key| key.public == public)?;
            let mut out = vec![SIGN_RESPONSE];
            wire::string(&mut out, &key.sign(data, flags)?);
            Some(out)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_asks_and_signs_gets_through() {
        let mut bind = vec![EXTENSION];
        wire::string(&mut bind, BIND);
        let mut other = vec![EXTENSION];
        wire::string(&mut other, b"anything@example.org");
        for (message, harmless) in [
            (vec![REQUEST_IDENTITIES], true),
            (vec![SIGN_REQUEST, 0], true),
            (bind, true),
            (other, false),
            (vec![17], false),
            (vec![19], false),
            (vec![22], false),
            (vec![EXTENSION], false),
            (Vec::new(), false),
        ] {
            assert_eq!(is_harmless(&message), harmless, "{message:?}");
        }
    }

    #[test]
    fn conversations_that_ended_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let listener = Listener::start(dir.path(), "agent", Answerer::Keys(Arc::new(Vec::new()))).unwrap();
        for number in 0..300 {
            let peer = UnixStream::connect(listener.path()).unwrap();
            send(&peer, &[REQUEST_IDENTITIES]).unwrap();
            let answer = receive(&peer).unwrap();
            assert_eq!(answer, Some(vec![IDENTITIES_ANSWER, 0, 0, 0, 0]), "conversation {number}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for message in [vec![], vec![SIGN_REQUEST], vec![SIGN_REQUEST, 0xff, 0xff, 0xff, 0xff], vec![17], vec![255; 40]]
        {
            assert_eq!(answer(&[], &message), None);
        }
        assert_eq!(answer(&[], &[REQUEST_IDENTITIES]), Some(vec![IDENTITIES_ANSWER, 0, 0, 0, 0]));
    }
}
