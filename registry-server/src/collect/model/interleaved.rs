//! One thread, many clients, a clock of our own: every order of their steps, by chance.

use std::collections::BTreeMap;
use std::time::Duration;

use oci::{Digest, RepositoryName, Tag};
use tempfile::TempDir;

use super::chance::Chance;
use super::client::{Push, Step};
use super::world::World;
use crate::collect::{Collector, Pressure};
use crate::time::Instant;

const GRACE: Duration = Duration::from_secs(1000);
const CLIENTS: usize = 4;
const STEPS: usize = 150;

struct Interleaved {
    root: TempDir,
    world: World,
    collector: Collector,
    chance: Chance,
    now: Instant,
    pushes: Vec<Push>,
    /// What was acknowledged and not deleted.
    expected: BTreeMap<(RepositoryName, Tag), Digest>,
}

impl Interleaved {
    fn new(seed: u64) -> Self {
        let root = TempDir::new().unwrap();
        let world = World::open(root.path(), GRACE);
        Self {
            collector: world.collector(),
            root,
            world,
            chance: Chance::new(seed),
            now: Instant(1_000_000_000),
            pushes: Vec::new(),
            expected: BTreeMap::new(),
        }
    }

    fn step(&mut self) {
        match self.chance.below(100) {
            0..60 => self.push(),
            60..72 => self.wait(),
            72..78 => self.delete_tag(),
            78..82 => self.delete_manifest(),
            82..92 => {
                self.collector.collect_now(false, self.now, &mut |_| true).unwrap();
                self.verify();
            }
            92..94 => self.collect_and_die(),
            94..96 => {
                self.collector.sweep(self.now, &|| false).unwrap();
                self.verify();
            }
            _ => self.die(),
        }
    }

    fn push(&mut self) {
        if self.pushes.len() < CLIENTS {
            self.pushes.push(Push::random(&mut self.chance));
        }
        let chosen = self.chance.below(self.pushes.len());
        match self.pushes[chosen].step(&self.world, self.now, &mut self.chance) {
            Step::More => {}
            Step::Late => drop(self.pushes.swap_remove(chosen)),
            Step::Done(digest) => {
                let push = self.pushes.swap_remove(chosen);
                self.expected.insert((push.repository, push.tag), digest);
            }
        }
    }

    fn wait(&mut self) {
        let most = usize::try_from(GRACE.as_secs()).unwrap() / 2;
        self.now = self.now.after(Duration::from_secs(self.chance.below(most) as u64));
    }

    fn chosen(&mut self) -> Option<((RepositoryName, Tag), Digest)> {
        let number = self.chance.below(self.expected.len().max(1));
        self.expected.iter().nth(number).map(|(place, digest)| (place.clone(), *digest))
    }

    fn delete_tag(&mut self) {
        if let Some(((repository, tag), _)) = self.chosen() {
            assert!(self.world.metadata.delete_tag(&repository, &tag, "user:bob", self.now).unwrap());
            self.expected.remove(&(repository, tag));
        }
    }

    fn delete_manifest(&mut self) {
        if let Some(((repository, _), digest)) = self.chosen() {
            let done = self.world.metadata.delete_manifest(&repository, &digest, &|_| false, "user:bob", self.now);
            assert!(done.unwrap());
            self.expected.retain(|(other, _), named| *other != repository || *named != digest);
        }
    }

    /// The collector is killed between the rows and the bytes.
    fn collect_and_die(&mut self) {
        let cutoff = self.world.rules().cutoff(self.now, Pressure::None);
        self.world.metadata.collect(&cutoff, false).unwrap();
        self.die();
    }

    /// All clients lose their connections; the server starts again.
    fn die(&mut self) {
        self.pushes.clear();
        // The old world lets go of the directory first.
        let elsewhere = TempDir::new().unwrap();
        self.world = World::open(elsewhere.path(), GRACE);
        self.collector = self.world.collector();
        self.world = World::open(self.root.path(), GRACE);
        self.collector = self.world.collector();
        self.verify();
    }

    fn verify(&self) {
        for ((repository, tag), digest) in &self.expected {
            self.world.verify(repository, tag, digest);
        }
        self.world.verify_objects();
    }

    /// Deletes all, and looks for what is left over.
    fn end(mut self) {
        for (repository, tag) in std::mem::take(&mut self.expected).into_keys() {
            assert!(self.world.metadata.delete_tag(&repository, &tag, "user:bob", self.now).unwrap());
        }
        for _ in 0..2 {
            self.now = self.now.after(GRACE * 2);
            self.collector.collect_now(false, self.now, &mut |_| true).unwrap();
            self.collector.sweep(self.now, &|| false).unwrap();
        }
        assert_eq!((self.world.files(), self.world.metadata.total_bytes().unwrap()), (0, 0));
        assert!(self.world.metadata.repositories(crate::metadata::Page { after: None, limit: 1 }).unwrap().is_empty());
    }
}

/// How many runs; each takes about a second.
fn runs() -> u64 {
    std::env::var("ESTIBA_MODEL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(4)
}

#[test]
fn a_referenced_blob_is_never_lost_however_steps_interleave() {
    for seed in 1..=runs() {
        let run = move || {
            let mut model = Interleaved::new(seed);
            for _ in 0..STEPS {
                model.step();
            }
            model.verify();
            model.end();
        };
        assert!(std::panic::catch_unwind(run).is_ok(), "seed {seed}");
    }
}
