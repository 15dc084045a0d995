//! Pulls and pushes that are killed at any moment, `ESTIBA_KILLS` times: the next one works, and a prune leaves nothing.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use fixtures::{Image, Layer};

use super::sweep::{digest_of, files, holding};
use super::{leaves_nothing, noise, start, watch, works};
use crate::registry::serve::Server;
use crate::runner::Env;

/// As root; others try a third of it.
const KILLS: u32 = 20;

fn kills() -> u32 {
    match std::env::var("ESTIBA_KILLS") {
        Ok(number) => number.parse().unwrap(),
        Err(_) if fixtures::is_root() => KILLS,
        Err(_) => KILLS / 3,
    }
}

fn image() -> Image {
    let many = (0..300).fold(Layer::new().dir("many", 0o755), |layer, n| {
        layer.file(&format!("many/{n}"), 0o644, format!("{n}").repeat(50).as_bytes())
    });
    Image::empty().layer(Layer::new().file("large", 0o644, &noise(12_000_000, 3))).layer(many).layer(Layer::new().file(
        "middle",
        0o600,
        &noise(1_500_000, 5),
    ))
}

struct Chance(u64);

impl Chance {
    fn new() -> Chance {
        let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
        Chance(seed)
    }

    /// Somewhere before `longest`.
    fn before(&mut self, longest: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        longest.mul_f64((self.0 >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

fn killed_after(env: &Env, arguments: &[&str], time: Duration) {
    let mut child = start(env, arguments);
    std::thread::sleep(time);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Waits for what a killed process left running (a sandbox, what syncs) to see that it is alone.
fn nobody_left(env: &Env) {
    let begun = Instant::now();
    let root = env.root().display().to_string();
    loop {
        let alive: Vec<String> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let variables = fs::read(path.join("environ")).ok()?;
                let mine =
                    variables.split(|byte| *byte == 0).any(|one| one == format!("ESTIBA_ROOT={root}").as_bytes());
                mine.then(|| String::from_utf8_lossy(&fs::read(path.join("cmdline")).unwrap_or_default()).into_owned())
            })
            .collect();
        if alive.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "still alive: {alive:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn pulls_that_are_killed() {
    let data = Env::new();
    let server = Server::start(&data, &[]);
    let name = format!("{}/app", server.address);
    let source = holding(image());
    works(&source, &["push", "app", &name]);
    let calm = Env::new();
    let begun = Instant::now();
    works(&calm, &["pull", &name]);
    let took = begun.elapsed();
    let expected = files(&calm);
    let env = Env::new();
    let mut chance = Chance::new();
    println!("seed {}", chance.0);
    for round in 0..kills() {
        killed_after(&env, &["pull", &name], chance.before(took.mul_f64(1.1)));
        // Two in three go on with what the one before left; the third looks whether it can be ended well, and begins anew.
        if round % 3 == 2 {
            works(&env, &["pull", &name]);
            assert_eq!(files(&env), expected, "after kill {round}");
            works(&env, &["rmi", "-f", &name]);
            if round % 2 == 0 {
                nobody_left(&env);
                leaves_nothing(&env);
            } else {
                works(&env, &["prune", "-af"]);
            }
        }
    }
    nobody_left(&env);
    // A pull that was killed at its very end has given the image its name.
    drop(env.run(&["rmi", "-f", &name]));
    leaves_nothing(&env);
    works(&env, &["pull", &name]);
    assert_eq!(files(&env), expected);
}

#[test]
fn pushes_that_are_killed() {
    let source = holding(image());
    let data = Env::new();
    let server = Server::start(&data, &[]);
    let calm = format!("{}/calm", server.address);
    let begun = Instant::now();
    let digest = digest_of(&works(&source, &["push", "app", &calm]));
    let took = begun.elapsed();
    let target = Env::new();
    works(&target, &["pull", &calm]);
    let expected = files(&target);
    let mut chance = Chance::new();
    println!("seed {}", chance.0);
    for round in 0..kills() {
        // Every other time it has to be compressed anew, to a registry that has nothing of it.
        let (source, data) = (holding(image()), Env::new());
        let server = Server::start(&data, &[]);
        let name = format!("{}/app", server.address);
        for _ in 0..2 {
            killed_after(&source, &["push", "app", &name], chance.before(took.mul_f64(1.1)));
        }
        let watched = watch(start(&source, &["push", "app", &name]));
        assert_eq!(watched.said.code, 0, "after kill {round}: {:#?}", watched.said);
        assert_eq!(digest_of(&watched.said.stdout), digest, "after kill {round}");
        let target = Env::new();
        works(&target, &["pull", &name]);
        assert_eq!(files(&target), expected, "after kill {round}");
        works(&source, &["rmi", "-f", "app"]);
        nobody_left(&source);
        leaves_nothing(&source);
    }
}
