//! The client against registries and networks that misbehave: the binary, real bytes on the loopback device.
//!
//! What must be refused is refused by one clear error, and nothing of it is visible in the store then.

mod answers;
mod documents;
mod kills;
mod layers;
mod logins;
mod pushes;
mod sweep;
mod together;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixtures::{Answer, Asked, Host, Image, Layer, Made, Shelf};

use crate::runner::{Env, Said, files_below};

/// More than any command here may take, and far more than each does.
const PATIENCE: Duration = Duration::from_secs(60);
/// The bound for a release build is 48 MiB (W5 of the benchmarks); this one's code alone is larger.
const PEAK_KIB: u64 = 128 << 10;

/// A command that ended.
pub(crate) struct Watched {
    pub(crate) said: Said,
    /// The peak of its memory, and of its children's, in KiB.
    pub(crate) peak: u64,
    pub(crate) took: Duration,
}

/// Starts the binary with little patience for the network.
pub(crate) fn start(env: &Env, arguments: &[&str]) -> Child {
    let mut command = env.command(arguments);
    command.envs([("ESTIBA_IDLE_TIMEOUT", "2s"), ("ESTIBA_RETRY_WAIT", "10ms")]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for it, looking at its memory; ends it where it takes too long.
pub(crate) fn watch(mut child: Child) -> Watched {
    let begun = Instant::now();
    let mut peak = 0;
    let readers = (drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap()));
    let status = loop {
        peak = peak.max(peak_of(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            let said = (readers.0.join().unwrap(), readers.1.join().unwrap());
            panic!("it takes more than {PATIENCE:?}: {said:#?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (stdout, stderr) = (readers.0.join().unwrap(), readers.1.join().unwrap());
    let said = Said { code: status.code().unwrap_or(-1), stdout, stderr };
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    Watched { said, peak, took: begun.elapsed() }
}

/// Runs the binary with little patience for the network.
pub(crate) fn run(env: &Env, arguments: &[&str]) -> Watched {
    watch(start(env, arguments))
}

/// Runs it; it must succeed.
pub(crate) fn works(env: &Env, arguments: &[&str]) -> String {
    let watched = run(env, arguments);
    assert_eq!(watched.said.code, 0, "estiba {arguments:?}: {:#?}", watched.said);
    assert!(watched.peak < PEAK_KIB, "estiba {arguments:?} held {} KiB", watched.peak);
    watched.said.stdout
}

fn drain(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Of a process and its children, which a sandbox may be.
fn peak_of(pid: u32) -> u64 {
    // A child that has not executed its program yet shows our own memory.
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok();
    if program.is_none() || program == std::env::current_exe().ok() {
        return 0;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let deepest = children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(peak_of).max();
    own.unwrap_or(0).max(deepest.unwrap_or(0))
}

/// A registry with what is on the shelf, and faults in front of it.
pub(crate) fn host(shelf: &Arc<Shelf>, fault: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static) -> Host {
    let shelf = Arc::clone(shelf);
    Host::start(move |asked| fault(asked).unwrap_or_else(|| shelf.answer(asked))).unwrap()
}

/// A registry that behaves.
pub(crate) fn honest(shelf: &Arc<Shelf>) -> Host {
    host(shelf, |_| None)
}

/// What of images is visible in a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    images: Vec<String>,
    layers: Vec<String>,
    blobs: Vec<String>,
    trees: Vec<String>,
}

impl Held {
    pub(crate) fn of(env: &Env) -> Held {
        let root = env.root();
        let Ok(store) = store::Store::open_existing(&root) else {
            return Held { images: vec![], layers: vec![], blobs: vec![], trees: vec![] };
        };
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        let images = store.index().images().unwrap().into_iter().map(|row| format!("{row:?}")).collect();
        let layers = store.index().layers().unwrap().into_iter().map(|row| row.id.as_str().to_owned()).collect();
        let trees = names_in(&root.join("snapshots"));
        Held { images: sorted(images), layers: sorted(layers), blobs: files_below(&root.join("blobs")), trees }
    }

    /// No image and no document came. Layers may have come: each that has a row was compared with its digest and its DiffId, and
    /// need not be fetched again; what has no row nobody sees.
    #[track_caller]
    pub(crate) fn adds_no_image(&self, before: &Held, what: &str) {
        assert_eq!((&self.images, &self.blobs), (&before.images, &before.blobs), "{what}");
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What must not be there after a prune, with no image and no process left.
pub(crate) fn litter(env: &Env) -> Vec<String> {
    let folders = ["ingest", "snapshots", "tocs", "splits", "compressed", "downloads", "leases", "locks", "blobs"];
    let below = |folder: &&str| {
        let path = env.root().join(folder);
        let found = if path.exists() { files_below(&path) } else { Vec::new() };
        let trees = if *folder == "snapshots" { names_in(&path) } else { Vec::new() };
        found.into_iter().chain(trees).map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
    };
    folders.iter().flat_map(below).collect()
}

/// Runs what must be refused: one clear error with these words, in bounded time and memory; the store as it was.
#[track_caller]
pub(crate) fn refused(env: &Env, arguments: &[&str], words: &[&str]) -> String {
    let before = Held::of(env);
    let watched = run(env, arguments);
    let error = watched.said.stderr.clone();
    assert_eq!(watched.said.code, 1, "estiba {arguments:?}: {:#?}", watched.said);
    assert!(watched.peak < PEAK_KIB, "estiba {arguments:?} held {} KiB", watched.peak);
    assert!(watched.took < PATIENCE / 2, "estiba {arguments:?} took {:?}", watched.took);
    assert_eq!(errors(&error), 1, "one error: {error}");
    assert!(error.len() < 4000, "{} bytes of words", error.len());
    assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{error:?}");
    for word in words {
        assert!(error.to_lowercase().contains(&word.to_lowercase()), "nothing of {word:?}: {error}");
    }
    Held::of(env).adds_no_image(&before, &error);
    error
}

/// How many errors it told.
pub(crate) fn errors(said: &str) -> usize {
    said.lines().filter(|line| line.starts_with("error: ")).count()
}

/// Nothing stays of what was refused once a prune has been there.
#[track_caller]
pub(crate) fn leaves_nothing(env: &Env) {
    works(env, &["prune", "-af"]);
    assert_eq!(litter(env), Vec::<String>::new());
}

/// Bytes that nothing compresses, others for each seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// An image of a few small layers, gzipped: nothing that needs busybox.
pub(crate) fn small() -> Made {
    let text = |seed: u32, length: usize| {
        let words = (0..).map(|number: u32| format!("{seed} {} ", number.wrapping_mul(2_654_435_761) ^ seed));
        let mut text = String::new();
        for word in words {
            text += &word;
            if text.len() >= length {
                break;
            }
        }
        text.into_bytes()
    };
    let one = Layer::new().dir("etc", 0o755).file("etc/one", 0o644, &text(1, 3000)).link("etc/link", "one");
    let two = Layer::new().dir("etc", 0o755).file("etc/two", 0o600, &text(2, 1500));
    let three = Layer::new().dir("deep/er", 0o755).file("deep/er/three", 0o755, &text(3, 800));
    Image::empty().layer(one).layer(two).layer(three).made().unwrap().gzipped().unwrap()
}

/// The tree of an image in the store, file by file: what its layers hold together.
pub(crate) fn tree(env: &Env, image: &str) -> Vec<String> {
    let out = env.work().join("tree.tar");
    let _ = fs::remove_file(&out);
    env.write("Dockerfile", format!("FROM {image}\n"));
    let to = format!("type=tar,dest={}", out.display());
    works(env, &["build", "--output", &to, "."]);
    let listed = std::process::Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(&out).output().unwrap();
    assert!(listed.status.success());
    let mut lines: Vec<String> = String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
