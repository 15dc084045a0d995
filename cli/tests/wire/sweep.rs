//! Pushes and pulls over connections that break at one byte after another.
//!
//! Each run ends right (the image is equal, file by file) or fails by one clear error, and the next try ends right.
//! `ESTIBA_CUTS` says at how many offsets a sweep tries (a few), or `all` for every byte.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fixtures::{Fault, Image, Layer, Proxy, Rule, Way};

use super::{Held, PEAK_KIB, Watched, errors, noise, run, works};
use crate::registry::serve::Server;
use crate::runner::Env;

/// Offsets a sweep where nobody says: as root, and as others, for whom nothing is different on the wire.
const FEW: (u64, u64) = (16, 4);
/// Runs at once: most of a run is waiting.
const AT_ONCE: usize = 4;

fn cuts() -> u64 {
    let few = if fixtures::is_root() { FEW.0 } else { FEW.1 };
    match std::env::var("ESTIBA_CUTS") {
        Ok(all) if all == "all" => u64::MAX,
        Ok(number) => number.parse().unwrap(),
        Err(_) => few,
    }
}

/// So many offsets of `total`, shifted by chance so that other runs meet others.
fn offsets(total: u64, count: u64) -> Vec<u64> {
    let step = (total / count.max(1)).max(1);
    let shift = std::process::id() as u64 % step;
    (0..total).skip(usize::try_from(shift).unwrap()).step_by(usize::try_from(step).unwrap()).collect()
}

/// Every file of every layer in a store: path, kind, mode, content.
pub(super) fn files(env: &Env) -> Vec<String> {
    let mut all = Vec::new();
    let store = store::Store::open_existing(env.root()).unwrap();
    // Trees without a row are nobody's.
    for layer in store.index().layers().unwrap().iter().filter(|layer| layer.tree.is_some()) {
        let mut lines = Vec::new();
        walk(&store.layout().tree(&layer.id), Path::new(""), &mut lines);
        lines.sort();
        all.push(lines.join("\n"));
    }
    all.sort();
    all
}

fn walk(root: &Path, below: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let own = entry.metadata().unwrap();
        let path = below.join(entry.file_name());
        let what = if own.is_dir() {
            walk(root, &path, lines);
            String::new()
        } else if own.is_symlink() {
            fs::read_link(entry.path()).unwrap().display().to_string()
        } else if !own.is_file() {
            // A whiteout, as the kernel has them.
            format!("device {}", own.rdev())
        } else {
            format!("{:?}", oci::Digest::sha256(&fs::read(entry.path()).unwrap()))
        };
        lines.push(format!("{} {:o} {what}", path.display(), own.mode()));
    }
}

fn layers() -> Image {
    let words =
        |seed: u32| (0..200).map(|n: u32| format!("{:x} ", n.wrapping_mul(2_654_435_761) ^ seed)).collect::<String>();
    let one = Layer::new().dir("etc", 0o755).file("etc/one", 0o644, words(1).as_bytes()).link("etc/link", "one");
    let two =
        Layer::new().dir("etc", 0o755).file("etc/two", 0o600, words(2).as_bytes()).file("etc/.wh.link", 0o644, b"");
    Image::empty().layer(one).layer(two).layer(Layer::new().file("three", 0o755, b"three"))
}

/// A store that holds an image as `app`.
pub(super) fn holding(image: Image) -> Env {
    let env = Env::new();
    let layout = image.layout_in(&env.work(), "layout").unwrap();
    env.ok(&["load", "--tag", "app", "-i", layout.to_str().unwrap()]);
    env
}

/// A registry with an image under `app:latest`, what a pull of it gives, and the digest that the push said.
struct Origin {
    server: Server,
    files: Vec<String>,
    digest: String,
    _data: Env,
}

impl Origin {
    fn with(image: Image) -> Origin {
        let data = Env::new();
        let server = Server::start(&data, &[]);
        let source = holding(image);
        let name = format!("{}/app", server.address);
        works(&source, &["tag", "app", &name]);
        let digest = digest_of(&works(&source, &["push", &name]));
        let env = Env::new();
        let said = works(&env, &["pull", &name]);
        assert!(said.contains(&digest), "{said}");
        Origin { server, files: files(&env), digest, _data: data }
    }

    fn socket(&self) -> SocketAddr {
        self.server.address.parse().unwrap()
    }

    /// Pulls through a proxy with this plan, again where it failed; gives what the proxy let pass at the first try.
    fn pull(&self, rules: &[Rule]) -> (Proxy, Watched) {
        let proxy = Proxy::start(self.socket(), rules.iter().copied()).unwrap();
        let env = Env::new();
        let name = format!("{}/app", proxy.address());
        let first = run(&env, &["pull", &name]);
        clear(&first, &rules);
        if first.said.code != 0 {
            let held = Held::of(&env);
            assert!(held.images.is_empty(), "{rules:?}: {held:?}");
            proxy.heal();
            works(&env, &["pull", &name]);
        }
        let said = works(&env, &["images", "--digests", "--no-trunc"]);
        assert_eq!(files(&env), self.files, "{rules:?}: {said}");
        assert!(said.contains(&self.digest), "{rules:?}: {said}");
        (proxy, first)
    }
}

pub(super) fn digest_of(said: &str) -> String {
    let start = said.find("sha256:").unwrap_or_else(|| panic!("no digest: {said}"));
    said[start..start + 71].to_owned()
}

/// A failure is one error.
fn clear(watched: &Watched, what: &dyn std::fmt::Debug) {
    let said = &watched.said;
    assert!(watched.peak < PEAK_KIB, "{what:?}: {} KiB", watched.peak);
    match said.code {
        0 => assert_eq!(errors(&said.stderr), 0, "{what:?}: {}", said.stderr),
        1 => assert_eq!(errors(&said.stderr), 1, "{what:?}: {}", said.stderr),
        code => panic!("{what:?} ended with {code}: {}", said.stderr),
    }
}

/// Tries each offset, some at once.
fn each(offsets: &[u64], try_at: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(offset) = offsets.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap()) {
                    try_at(*offset);
                }
            });
        }
    });
}

const OTHERS: [Fault; 5] = [
    Fault::Reset,
    Fault::Corrupt(0x01),
    Fault::Corrupt(0x80),
    Fault::Swap(37),
    Fault::Delay(Duration::from_millis(100)),
];

#[test]
fn pulls_that_are_cut() {
    let origin = Origin::with(layers());
    let (proxy, _) = origin.pull(&[]);
    let total = proxy.passed();
    for (way, bytes) in [(Way::Down, total.down), (Way::Up, total.up)] {
        for fault in [Fault::Cut, Fault::Down] {
            each(&offsets(bytes, cuts()), |at| drop(origin.pull(&[Rule::after(at, way, fault)])));
        }
        for fault in OTHERS {
            each(&offsets(bytes, cuts() / 4), |at| drop(origin.pull(&[Rule::after(at, way, fault)])));
        }
        each(&offsets(bytes, cuts().min(100) / 6), |at| {
            let (_, first) = origin.pull(&[Rule::after(at, way, Fault::Stall)]);
            assert!(first.took < Duration::from_secs(20), "stalled at {at}: {:?}", first.took);
        });
    }
}

/// A blob that comes in ranges: cut, it goes on; what had come is not asked for again.
#[test]
fn large_pulls_that_are_cut() {
    let length = 40_000_000;
    let origin = Origin::with(Image::empty().layer(Layer::new().file("noise", 0o644, &noise(length, 1))));
    let (proxy, _) = origin.pull(&[]);
    let total = proxy.passed().down;
    let slack = 200_000;
    assert!(total < length as u64 + slack, "{total} bytes of {length}");
    let count = if fixtures::is_root() { 4 } else { 1 };
    for at in offsets(total, cuts().min(200) * count / FEW.0) {
        // One connection ends: the others go on, and little comes twice.
        let (proxy, first) = origin.pull(&[Rule::after(at, Way::Down, Fault::Cut)]);
        assert_eq!(first.said.code, 0, "cut at {at}: {}", first.said.stderr);
        assert!(proxy.passed().down < total + (5 << 20), "cut at {at}: {} bytes of {total}", proxy.passed().down);
        // All end: the next try goes on. Windows that had not come in order may come twice.
        let (proxy, first) = origin.pull(&[Rule::after(at, Way::Down, Fault::Down)]);
        assert_eq!(first.said.code, 1, "down at {at}");
        assert!(proxy.passed().down < total + (17 << 20), "down at {at}: {} bytes of {total}", proxy.passed().down);
        origin.pull(&[Rule::after(at, Way::Down, Fault::Corrupt(4))]);
        origin.pull(&[Rule::after(at, Way::Down, Fault::Swap(1000))]);
    }
    let stalled = [Rule::after(total / 2, Way::Down, Fault::Stall)];
    assert_eq!(origin.pull(&stalled).1.said.code, 0, "one of several connections stalled");
}

/// Pushes `app` through a proxy with this plan, again where it failed; what arrived is pulled and compared.
fn push(source: &Env, expected: &[String], rules: &[Rule]) -> Proxy {
    let data = Env::new();
    let server = Server::start(&data, &[]);
    let proxy = Proxy::start(server.address.parse().unwrap(), rules.iter().copied()).unwrap();
    let name = format!("{}/app:t", proxy.address());
    let pushing = ["push", "app", &name];
    let first = run(source, &pushing);
    clear(&first, &rules);
    // A stalled upload is given up by us long before the registry lets go of it.
    assert!(first.took < Duration::from_secs(40), "{rules:?}: {:?}", first.took);
    let said = if first.said.code == 0 {
        first.said.stdout
    } else {
        proxy.heal();
        works(source, &pushing)
    };
    let target = Env::new();
    let direct = format!("{}/app:t", server.address);
    let pulled = run(&target, &["pull", &direct]);
    assert_eq!(pulled.said.code, 0, "{rules:?}: pushed ({said}), and: {}", pulled.said.stderr);
    assert!(pulled.said.stdout.contains(&digest_of(&said)), "{rules:?}: {said} became {}", pulled.said.stdout);
    assert_eq!(files(&target), expected, "{rules:?}");
    proxy
}

/// What a store must hold after the image was pulled.
fn pulled_from(source: &Env) -> Vec<String> {
    let data = Env::new();
    let server = Server::start(&data, &[]);
    let name = format!("{}/app", server.address);
    works(source, &["push", "app", &name]);
    let target = Env::new();
    works(&target, &["pull", &name]);
    files(&target)
}

#[test]
fn pushes_that_are_cut() {
    let source = holding(layers());
    let expected = pulled_from(&source);
    assert_eq!(expected.len(), 3);
    let total = push(&source, &expected, &[]).passed();
    for (way, bytes) in [(Way::Up, total.up), (Way::Down, total.down)] {
        for fault in [Fault::Cut, Fault::Down] {
            each(&offsets(bytes, cuts()), |at| drop(push(&source, &expected, &[Rule::after(at, way, fault)])));
        }
        for fault in OTHERS {
            each(&offsets(bytes, cuts() / 4), |at| drop(push(&source, &expected, &[Rule::after(at, way, fault)])));
        }
        each(&offsets(bytes, cuts().min(100) / 6), |at| {
            drop(push(&source, &expected, &[Rule::after(at, way, Fault::Stall)]))
        });
    }
}

/// What is sent goes on where it was cut.
#[test]
fn large_pushes_that_are_cut() {
    let length = 30_000_000;
    let source = holding(Image::empty().layer(Layer::new().file("noise", 0o644, &noise(length, 1))));
    let expected = pulled_from(&source);
    let total = push(&source, &expected, &[]).passed().up;
    assert!(total < length as u64 + (1 << 20), "{total} bytes of {length}");
    let count = if fixtures::is_root() { 4 } else { 1 };
    for at in offsets(total, cuts().min(200) * count / FEW.0) {
        // It goes on from what the registry had written when it was asked, which is behind what had passed.
        let proxy = push(&source, &expected, &[Rule::after(at, Way::Up, Fault::Cut)]);
        let most = total + at * 3 / 4 + (9 << 20);
        assert!(proxy.passed().up < most, "cut at {at}: {} bytes of {total}", proxy.passed().up);
        push(&source, &expected, &[Rule::after(at, Way::Up, Fault::Down)]);
        push(&source, &expected, &[Rule::after(at, Way::Up, Fault::Corrupt(4))]);
    }
}
