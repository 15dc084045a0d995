//! Streams with real pipes and sockets; a thread stands in for the container.

use std::fs::File;
use std::io::{Read as _, Write as _};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::*;
use crate::config::Config;
use crate::log::{Reader, Selection};
use crate::supervisor::handover::Kept;

struct Case {
    _dir: tempfile::TempDir,
    streams: Streams,
    config: Config,
    folder: Folder,
}

fn case(stdin: bool) -> Case {
    let dir = tempfile::tempdir().unwrap();
    let mut config = crate::log::tests::config(None, &[]);
    config.process.stdin = stdin;
    let folder = Folder::at(dir.path().to_path_buf());
    Case { streams: Streams::open(&config, &folder, Given::default()).unwrap(), config, folder, _dir: dir }
}

fn pair() -> (OwnedFd, OwnedFd) {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

fn logged(case: &Case) -> Vec<u8> {
    let mut all = Vec::new();
    let mut reader = Reader::open(case.folder.log(), Driver::Local, Selection::default()).unwrap();
    reader
        .read::<LogError>(|entry| {
            all.extend_from_slice(&entry.bytes);
            Ok(())
        })
        .unwrap();
    all
}

/// Turns as long as there is something to do within this time.
fn turn(streams: &mut Streams, milliseconds: i64) -> Vec<i32> {
    let mut signals = Vec::new();
    let time = Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
    while poll(&mut [PollFd::from_borrowed_fd(streams.descriptor(), PollFlags::IN)], Some(&time)).unwrap() > 0 {
        signals.extend(streams.turn());
    }
    signals
}

fn frames(socket: &OwnedFd) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    let mut buffer = vec![0; MAX_FRAME + 1];
    while let Ok((length, _)) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
        if length == 0 {
            break;
        }
        all.push((buffer[0], buffer[1..length].to_vec()));
    }
    all
}

use rustix::event::Timespec;

#[test]
fn output_goes_to_the_log_and_to_all_who_are_attached() {
    let mut case = case(false);
    let stdio = case.streams.stdio().unwrap();
    assert!(stdio.stdin.is_none());
    let ((one, theirs), (two, others)) = (pair(), pair());
    case.streams.join(theirs, Attachment { output: true, foreground: true, ..Attachment::default() });
    case.streams.join(others, Attachment { output: true, ..Attachment::default() });
    File::from(stdio.stdout.unwrap()).write_all(b"out").unwrap();
    File::from(stdio.stderr.unwrap()).write_all(b"err").unwrap();
    turn(&mut case.streams, 50);
    case.streams.ended();
    assert!(case.streams.is_quiet());
    for socket in [&one, &two] {
        let mut seen = frames(socket);
        seen.sort();
        assert_eq!(seen, [(1, b"out".to_vec()), (2, b"err".to_vec())]);
    }
    let mut text = logged(&case);
    text.sort_unstable();
    assert_eq!(text, b"eorrtu");
    case.streams.finish(7, Some("full"));
    assert_eq!(frames(&one), [(3, b"{\"why\":\"full\"}".to_vec()), (3, b"{\"ended\":7}".to_vec())]);
}

#[test]
fn the_foreground_holds_the_container_up_and_others_are_let_go() {
    const SIZE: usize = 4 << 20;
    let mut case = case(false);
    let stdio = case.streams.stdio().unwrap();
    let ((slow, theirs), (idle, others)) = (pair(), pair());
    case.streams.join(theirs, Attachment { output: true, foreground: true, ..Attachment::default() });
    case.streams.join(others, Attachment { output: true, ..Attachment::default() });
    let talker = std::thread::spawn(move || File::from(stdio.stdout.unwrap()).write_all(&vec![b'x'; SIZE]).unwrap());
    drop(stdio.stderr);
    turn(&mut case.streams, 50);
    assert!(!talker.is_finished(), "the container was not held up");
    let mut seen = 0;
    loop {
        let nothing = frames_into(&slow, &mut seen);
        turn(&mut case.streams, 1);
        if nothing && talker.is_finished() {
            break;
        }
    }
    turn(&mut case.streams, 20);
    case.streams.ended();
    frames_into(&slow, &mut seen);
    assert_eq!(seen, SIZE);
    assert_eq!(logged(&case).len(), SIZE);
    frames(&idle);
    let mut left = case.streams;
    turn(&mut left, 20);
    let last = frames(&idle).pop();
    assert!(last.is_none_or(|(kind, text)| kind == 3 && String::from_utf8_lossy(&text).contains("not read")));
    assert!(left.attached.iter().all(|attached| attached.about.foreground), "he is still attached");
}

/// Adds up what is there; gives whether there was nothing.
fn frames_into(socket: &OwnedFd, seen: &mut usize) -> bool {
    let all = frames(socket);
    *seen += all.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    all.is_empty()
}

#[test]
fn input_is_acknowledged_and_ends_with_who_gives_it() {
    let mut case = case(true);
    let stdio = case.streams.stdio().unwrap();
    let (mut input, (ours, theirs)) = (File::from(stdio.stdin.unwrap()), pair());
    case.streams.join(theirs, Attachment { stdin: true, foreground: true, ..Attachment::default() });
    rustix::net::send(&ours, &frame(Stream::Stdin, b"typed"), SendFlags::empty()).unwrap();
    rustix::net::send(&ours, &frame(Stream::Control, br#"{"signal":15}"#), SendFlags::empty()).unwrap();
    assert_eq!(turn(&mut case.streams, 20), [15]);
    assert_eq!(frames(&ours), [(0, 5_u32.to_le_bytes().to_vec())]);
    drop(ours);
    turn(&mut case.streams, 20);
    let mut text = String::new();
    input.read_to_string(&mut text).unwrap();
    assert_eq!(text, "typed");
}

#[test]
fn what_is_kept_goes_on() {
    let mut case = case(true);
    let stdio = case.streams.stdio().unwrap();
    let (ours, theirs) = pair();
    case.streams.join(theirs, Attachment { stdin: true, output: true, foreground: true, size: None });
    let mut kept = Kept::default();
    let packed = serde_json::to_vec(&case.streams.pack(&mut kept)).unwrap();
    std::mem::forget(kept);
    let packed: Packed = serde_json::from_slice(&packed).unwrap();
    // As an exec would: nobody owns them any more.
    let new = Streams::open(&case.config, &case.folder, Given::default()).unwrap();
    std::mem::forget(std::mem::replace(&mut case.streams, new));
    case.streams = Streams::unpack(packed, &case.config, &case.folder).unwrap();
    File::from(stdio.stdout.unwrap()).write_all(b"after").unwrap();
    rustix::net::send(&ours, &frame(Stream::Stdin, b"in"), SendFlags::empty()).unwrap();
    turn(&mut case.streams, 20);
    let mut seen = frames(&ours);
    seen.sort();
    assert_eq!(seen, [(0, 2_u32.to_le_bytes().to_vec()), (1, b"after".to_vec())]);
    let mut bytes = [0; 2];
    File::from(stdio.stdin.unwrap()).read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"in");
}

#[test]
fn a_terminal_that_the_container_closes_is_not_spun_on_and_goes_on() {
    let mut case = case(true);
    case.config.process.terminal = true;
    case.streams = Streams::open(&case.config, &case.folder, Given::default()).unwrap();
    case.streams.stdio().unwrap();
    let outer = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::unlockpt(&outer).unwrap();
    let inner =
        || File::options().read(true).write(true).open(rustix::pty::ptsname(&outer, vec![]).unwrap().to_str().unwrap());
    let mut first = inner().unwrap();
    case.streams.started(Some(outer.try_clone().unwrap()));
    first.write_all(b"one").unwrap();
    drop(first);
    // It returns: nothing is ready again and again.
    turn(&mut case.streams, 20);
    inner().unwrap().write_all(b"two").unwrap();
    turn(&mut case.streams, 20);
    case.streams.ended();
    assert_eq!(logged(&case), b"onetwo");
}
