//! Measuring, in a process of its own: a walk over many files holds nobody up, and its memory goes with it.

use std::collections::HashSet;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::FdFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use store::{Meter, Room, RoomError};
use sys::fork::Forked;

use crate::processes;
use crate::state::ProcessId;
use crate::time::Moment;

/// The first argument of such a process, which no user types.
const MARK: &str = "\u{1}estiba-disk";
/// The longest answer that is read.
const MAX_ANSWER: usize = 64 << 10;
/// The unit of `st_blocks`.
const BLOCK: u64 = 512;

/// What is to be measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// The store.
    pub(super) root: PathBuf,
    /// The container's own tree.
    pub(super) own: PathBuf,
    /// What else it writes in the store: its log, its volumes.
    pub(super) others: Vec<PathBuf>,
    /// The container's first process, while it runs: what its processes hold open and has no name any more counts, too.
    pub(super) init: Option<ProcessId>,
    /// Whether such files on the store's file system may be in its volumes, and in nothing else.
    pub(super) volumes: bool,
    /// Bytes that the store's room was asked for already; `None`: it has no limit.
    pub(super) charged: Option<u64>,
    /// What changed since then counts as recent.
    pub(super) since: Moment,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Bytes of its own tree.
    pub(super) own: u64,
    /// Bytes of all that it writes.
    pub(super) all: u64,
    /// Files of all that.
    pub(super) files: u64,
    /// Bytes of files that changed recently.
    pub(super) recent: u64,
    /// How many these are.
    pub(super) recent_files: u64,
    /// Bytes of files without a name, which are in `all`.
    pub(super) nameless: u64,
    /// Directories that lie too deep to be looked into: what is in them is in no sum.
    pub(super) deep: u64,
    /// What the store's room said.
    pub(super) store: Store,
}

/// What a store has left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Store {
    /// As much as there is.
    #[default]
    Unlimited,
    /// So many bytes.
    Left(u64),
    /// Nothing, nor anything to collect; by how many bytes it is over, and what is said of it.
    Full { over: u64, why: String },
    /// Its room is asked: more is heard.
    Asked,
}

/// A measurement under way. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Measuring {
    process: Option<Forked>,
    answer: File,
}

impl Measuring {
    pub(super) fn begin(wanted: &Wanted) -> sys::Result<Self> {
        let bytes = serde_json::to_vec(wanted).map_err(|error| sys::Error::from_io("serialize", "", &error.into()))?;
        let request = sys::memfd::sealed("estiba-disk", &bytes)?;
        let (answer, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| sys::Error::new("pipe", "", errno))?;
        let words = ["estiba", MARK, &request.as_raw_fd().to_string(), &theirs.as_raw_fd().to_string()];
        let words: Vec<CString> = words.iter().filter_map(|word| CString::new(*word).ok()).collect();
        let process = sys::fork::child(|| {
            if wanted.charged.is_none() {
                return wanted.answer(&theirs);
            }
            // Refused only for a descriptor that is not open.
            let _ = rustix::io::fcntl_setfd(&request, FdFlags::empty());
            let _ = rustix::io::fcntl_setfd(&theirs, FdFlags::empty());
            drop(sys::exec::again(&words));
            1
        })?;
        Ok(Self { process: Some(process), answer: File::from(answer) })
    }

    /// Readable when it is over.
    pub(super) fn descriptor(&self) -> &File {
        &self.answer
    }

    /// What it found, once its descriptor is readable; `None` where it failed. It goes on where that is [`Store::Asked`].
    pub(super) fn hear(&mut self) -> Option<Measured> {
        let mut text = vec![0; MAX_ANSWER];
        // Each answer is one write, and less than a pipe takes at once.
        let length = self.answer.read(&mut text).ok()?;
        serde_json::from_slice(text[..length].split(|byte| *byte == b'\n').rfind(|line| !line.is_empty())?).ok()
    }

    fn end(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
            drop(process.wait());
        }
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        self.end();
    }
}

/// The numbers of the descriptors, when this process is to measure.
pub fn entry(arguments: &[OsString]) -> Option<[RawFd; 2]> {
    match arguments {
        [_, mark, request, answer] if mark == MARK => {
            Some([request.to_str()?.parse().ok()?, answer.to_str()?.parse().ok()?])
        }
        _ => None,
    }
}

/// Measures what is asked. `room` gives the room of a store, which makes some where it can. Gives this process's exit code.
pub fn measure([request, answer]: [RawFd; 2], room: fn(&store::Layout) -> Arc<Room>) -> u8 {
    let work = || -> Result<(), Box<dyn std::error::Error>> {
        let mut request = File::from(sys::inherit::take(request)?);
        let mut answer = File::from(sys::inherit::take(answer)?);
        request.rewind()?;
        let mut text = String::new();
        request.read_to_string(&mut text)?;
        let wanted: Wanted = serde_json::from_str(&text)?;
        open_many();
        let walked = Measured { store: Store::Asked, ..wanted.walk() };
        answer.write_all(&line(&walked)?)?;
        let grown = walked.all.saturating_sub(wanted.charged.unwrap_or(u64::MAX));
        let store = ask(&room(&store::Layout::new(&wanted.root)), grown, walked.nameless);
        Ok(answer.write_all(&line(&Measured { store, ..walked })?)?)
    };
    // Nobody listens but who sees that there is no answer.
    u8::from(work().is_err())
}

/// Each level of folders takes a descriptor: as many as this process may have. Refused, it has what it has.
fn open_many() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn line(measured: &Measured) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(measured)?;
    bytes.push(b'\n');
    Ok(bytes)
}

impl Wanted {
    /// In a child of the supervisor, which needs nothing but this: no lock is held by it, no socket is open in it.
    fn answer(&self, answer: &OwnedFd) -> u8 {
        drop(sys::exec::close_inherited(3, &[answer.as_raw_fd()]));
        open_many();
        let bytes = line(&self.walk()).unwrap_or_default();
        u8::from(rustix::io::write(answer, &bytes).is_err())
    }

    /// Looks at all files.
    pub(super) fn walk(&self) -> Measured {
        let mut found = Measured::default();
        let mut meter = Meter::new();
        let mut each = |stat: &sys::Stat, bytes: u64| {
            found.files += 1;
            if changed(stat) >= self.since {
                found.recent += bytes;
                found.recent_files += 1;
            }
        };
        let own = meter.measure_each(&self.own, &mut each);
        let others: u64 = self.others.iter().map(|path| meter.measure_each(path, &mut each)).sum();
        (found.own, found.all, found.deep) = (own, own + others, meter.deep);
        self.count_nameless(&mut found);
        found
    }

    /// Counts what its processes hold open and has no name: a walk does not meet it. What is only mapped stays out of sight.
    fn count_nameless(&self, found: &mut Measured) {
        let Some(init) = self.init.filter(|init| init.lives()) else { return };
        let device = |path: PathBuf| fs::metadata(path).ok().map(|file| file.dev());
        let stores = device(self.root.clone());
        let own =
            device(format!("/proc/{}/root/.", init.pid).into()).filter(|own| self.volumes || Some(*own) != stores);
        let others = stores.filter(|_| self.volumes);
        let mut seen = HashSet::new();
        for process in processes::below(init) {
            let Ok(open) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else { continue };
            for file in open.flatten().filter_map(|entry| fs::metadata(entry.path()).ok()) {
                let is_ours = Some(file.dev()) == own || Some(file.dev()) == others;
                if !is_ours || !file.is_file() || file.nlink() > 0 || !seen.insert((file.dev(), file.ino())) {
                    continue;
                }
                let bytes = file.blocks() * BLOCK;
                found.files += 1;
                found.all += bytes;
                found.nameless += bytes;
                if Some(file.dev()) == own {
                    found.own += bytes;
                }
                if moment(file.ctime(), file.ctime_nsec()) >= self.since {
                    found.recent += bytes;
                    found.recent_files += 1;
                }
            }
        }
    }
}

/// When a file was changed last; nobody inside can set that.
fn changed(stat: &sys::Stat) -> Moment {
    moment(stat.ctime.seconds, stat.ctime.nanoseconds.into())
}

fn moment(seconds: i64, nanoseconds: i64) -> Moment {
    let [seconds, nanoseconds] = [seconds, nanoseconds].map(|number| u64::try_from(number).unwrap_or(0));
    Moment(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// Has the store's limit hold for what was written, so much of it in files without a name.
fn ask(room: &Room, grown: u64, nameless: u64) -> Store {
    let taken = if grown == 0 { Ok(()) } else { room.take_written(grown, nameless) };
    match taken.and_then(|()| room.left()) {
        Ok(Some(left)) => Store::Left(left),
        Ok(None) => Store::Unlimited,
        Err(full @ RoomError::Full { .. }) => {
            Store::Full { over: full.over().unwrap_or(0), why: format!("disk limit: {full}") }
        }
        // What cannot be settled now is asked again, and nobody is stopped for it.
        Err(_) => Store::Left(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_its_own_and_what_is_new_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let (own, volume) = (dir.path().join("own"), dir.path().join("volume"));
        for folder in [&own, &volume] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(own.join("a"), vec![1; 3 << 20]).unwrap();
        fs::write(volume.join("b"), vec![1; 2 << 20]).unwrap();
        fs::hard_link(own.join("a"), volume.join("a")).unwrap();
        let root = dir.path().to_path_buf();
        let others = vec![volume, dir.path().join("none")];
        let wanted = Wanted { root, own, others, init: None, volumes: true, charged: None, since: Moment::NEVER };
        let found = wanted.walk();
        assert!((3 << 20..4 << 20).contains(&found.own), "{found:?}");
        assert!((5 << 20..6 << 20).contains(&found.all), "{found:?}");
        assert_eq!((found.files, found.recent_files, found.recent), (4, 4, found.all));
        let later = Wanted { since: Moment(u64::MAX), ..wanted };
        assert_eq!((later.walk().recent, later.walk().recent_files), (0, 0));
    }

    #[test]
    fn the_room_of_the_store_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let layout = store::Layout::new(dir.path());
        let room = |limit| {
            let room = Room::new(&layout);
            room.set_limit(limit);
            room
        };
        assert_eq!(ask(&room(None), 1 << 30, 0), Store::Unlimited);
        let Store::Left(left) = ask(&room(Some(64 << 20)), 10 << 20, 0) else { panic!("nothing left") };
        assert!(left <= 62 << 20, "{left}");
        fs::write(dir.path().join("much"), vec![1; 70 << 20]).unwrap();
        let Store::Full { over, why } = ask(&room(Some(64 << 20)), 70 << 20, 0) else {
            panic!("room for more than there is")
        };
        assert!((8 << 20..9 << 20).contains(&over), "{over}");
        assert!(why.contains("limit of 67108864 bytes"), "{why}");
    }
}
