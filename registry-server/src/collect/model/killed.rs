//! A process that pushes, deletes and collects with real commits from many threads, killed at random, again and again.
//!
//! The child tells what was acknowledged by lines of a file; what it is about to delete it tells before. Such lines
//! survive the child, as they stand in the kernel's memory. `ESTIBA_KILLS` says how often it is killed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use oci::{Digest, RepositoryName, Tag};
use tempfile::TempDir;

use super::chance::Chance;
use super::client::{Push, Step};
use super::world::World;
use crate::time::Instant;

/// Short, so that much is collected while it runs, and long enough for a push that waits for its disk.
const GRACE: Duration = Duration::from_millis(400);
const CLIENTS: u64 = 3;
/// Set for the child: the directory.
const ROOT: &str = "ESTIBA_MODEL_ROOT";
/// Set for the child: its chance.
const SEED: &str = "ESTIBA_MODEL_SEED";

/// What the child did, told line by line. A tag belongs to one thread at a time.
struct Ledger(Mutex<File>);

impl Ledger {
    fn open(root: &Path) -> Self {
        Self(Mutex::new(OpenOptions::new().append(true).create(true).open(root.join("ledger")).unwrap()))
    }

    fn tell(&self, line: &str) {
        self.0.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// What the ledger says of each tag: what it names, or `None` where that is in flux.
fn read(root: &Path) -> BTreeMap<(RepositoryName, Tag), Option<Digest>> {
    let mut tags = BTreeMap::new();
    for line in std::fs::read_to_string(root.join("ledger")).unwrap_or_default().lines() {
        let mut words = line.split(' ');
        let (repository, tag) = (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
        tags.insert((repository, tag), words.next().map(|digest| digest.parse().unwrap()));
    }
    tags
}

/// Tags are each one thread's own, so that what they should name is known.
fn client(world: &World, ledger: &Ledger, number: u64, seed: u64) {
    let mut chance = Chance::new(seed * 100 + number);
    loop {
        let mut push = Push::random(&mut chance);
        push.tag = format!("{}-{number}", push.tag).parse().unwrap();
        let place = format!("{} {}", push.repository, push.tag);
        ledger.tell(&place);
        if chance.percent(20) {
            world.metadata.delete_tag(&push.repository, &push.tag, "user:bob", Instant::now()).unwrap();
            continue;
        }
        loop {
            match push.step(world, Instant::now(), &mut chance) {
                Step::More => {}
                Step::Late => break,
                Step::Done(digest) => {
                    ledger.tell(&format!("{place} {digest}"));
                    break;
                }
            }
        }
    }
}

#[test]
#[ignore = "the child of the test below"]
fn child() {
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else { return };
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let (world, ledger) = (World::open(&root, GRACE), Ledger::open(&root));
    let collector = world.collector();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (world, ledger) = (&world, &ledger);
            scope.spawn(move || client(world, ledger, number, seed));
        }
        loop {
            collector.collect_now(false, Instant::now(), &mut |_| true).unwrap();
            collector.sweep(Instant::now(), &|| false).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

/// Lets a child work for a while and kills it.
fn work_and_die(root: &Path, seed: u64, time: Duration) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "collect::model::killed::child", "--ignored", "--nocapture"])
        .env(ROOT, root)
        .env(SEED, seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(time);
    let early = child.try_wait().unwrap();
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(early.is_none(), "the child failed by itself: {early:?}");
}

#[test]
fn a_referenced_blob_is_never_lost_whenever_the_process_dies() {
    let kills = std::env::var("ESTIBA_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(4);
    let root = TempDir::new().unwrap();
    let seed = u64::try_from(Instant::now().0).unwrap();
    let mut chance = Chance::new(seed);
    let mut acknowledged = 0;
    for round in 0..kills {
        work_and_die(root.path(), seed + round, Duration::from_millis(150 + chance.below(600) as u64));
        let world = World::open(root.path(), GRACE);
        let tags = read(root.path());
        acknowledged += tags.values().flatten().count();
        for ((repository, tag), digest) in &tags {
            if let Some(digest) = digest {
                world.verify(repository, tag, digest);
            }
        }
        world.verify_objects();
    }
    assert!(acknowledged > 0, "nothing was pushed");
    leftovers(&root);
}

/// In the end nothing is left over.
fn leftovers(root: &TempDir) {
    let world = World::open(root.path(), GRACE);
    let now = Instant::now();
    for (repository, tag) in read(root.path()).into_keys() {
        world.metadata.delete_tag(&repository, &tag, "user:bob", now).unwrap();
    }
    let collector = world.collector();
    for round in 1..=2 {
        let later = now.after(GRACE * 2 * round);
        collector.collect_now(false, later, &mut |_| true).unwrap();
        collector.sweep(later, &|| false).unwrap();
    }
    assert_eq!((world.files(), world.metadata.total_bytes().unwrap()), (0, 0));
}
