//! What a try that ended early leaves to the next one, of any process.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use builder::gc::{PruneOptions, prune};
use builder::transfer::Step;
use fixtures::{Answer, Body, Host, Shelf, sha256};

use crate::rig::{Rig, diff_ids, is_root, large};

const SIZE: usize = 12 << 20;
/// What a child pulls, and into which store.
const NAME: &str = "ESTIBA_TEST_PULL_NAME";
const STORE: &str = "ESTIBA_TEST_PULL_STORE";

/// A host that gives out a layer slowly until it is told to hurry.
fn slow_host(made: &fixtures::Made) -> (Host, String, Arc<AtomicBool>) {
    let shelf = Arc::new(Shelf::default());
    shelf.publish("latest", made).unwrap();
    let bytes = made.layers[0].1.clone();
    let digest = format!("sha256:{}", sha256(&bytes).unwrap());
    let (own, hurry) = (digest.clone(), Arc::<AtomicBool>::default());
    let fast = hurry.clone();
    let host = Host::start(move |asked| {
        if asked.is("GET", &own) && !fast.load(Ordering::Relaxed) {
            return Answer::with(200, Body::Dripping(bytes.clone(), 256 << 10, Duration::from_millis(20)));
        }
        shelf.answer(asked)
    })
    .unwrap();
    (host, digest, hurry)
}

fn last_range(host: &Host, digest: &str) -> String {
    host.asked().iter().rfind(|asked| asked.is("GET", digest)).unwrap().header("range").to_owned()
}

fn resumed_at(rig: &Rig) -> Option<u64> {
    rig.steps().iter().find_map(|step| if let Step::Resumed { at } = step { Some(*at) } else { None })
}

/// Not a test by itself: the process that [`a_killed_pull_leaves_its_bytes_to_the_next`] kills.
#[test]
#[ignore = "a test's child"]
fn child() {
    let (Ok(name), Ok(path)) = (std::env::var(NAME), std::env::var(STORE)) else { return };
    let rig = Rig { store: Arc::new(store::Store::open(path).unwrap()), ..Rig::new() };
    rig.pull(&name).unwrap();
}

#[test]
fn a_killed_pull_leaves_its_bytes_to_the_next() {
    if !is_root() {
        return;
    }
    let (rig, made) = (Rig::new(), large(SIZE));
    let (host, digest, hurry) = slow_host(&made);
    let name = format!("{}/app:latest", host.address());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "resume::child"])
        .env(NAME, &name)
        .env(STORE, rig.store.root())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let download = rig.store.layout().download(&digest.parse().unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::fs::metadata(&download).map_or(0, |found| found.len()) < 2 << 20 {
        assert!(Instant::now() < deadline, "nothing comes");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(rig.store.index().layers().unwrap(), []);
    // A collector spares what was written a moment ago, and takes the torn tree.
    prune(&rig.store, &PruneOptions::default()).unwrap();
    assert!(std::fs::read_dir(rig.store.layout().snapshots()).unwrap().next().is_none());
    hurry.store(true, Ordering::Relaxed);
    let kept = std::fs::metadata(&download).unwrap().len();
    let pulled = rig.pull(&name).unwrap();
    assert_eq!(resumed_at(&rig), Some(kept));
    assert_eq!(last_range(&host, &digest), format!("bytes={kept}-"));
    let size = made.layers[0].1.len() as u64;
    assert!(
        pulled.moved >= size - kept && pulled.moved < size - kept + 4096,
        "{} of {size} after {kept}",
        pulled.moved
    );
    assert!(rig.tree(&diff_ids(&made)[0]).join("noise").exists());
    assert!(!download.exists());
}

#[test]
fn a_try_that_failed_is_gone_on_with() {
    if !is_root() {
        return;
    }
    let (rig, made, shelf) = (Rig::new(), large(SIZE), Arc::new(Shelf::default()));
    shelf.publish("latest", &made).unwrap();
    let bytes = made.layers[0].1.clone();
    let digest = format!("sha256:{}", sha256(&bytes).unwrap());
    let (own, healed) = (digest.clone(), Arc::<AtomicBool>::default());
    let well = healed.clone();
    let host = Host::start(move |asked| {
        if asked.is("GET", &own) && !well.load(Ordering::Relaxed) {
            return match asked.header("range") {
                "" => Answer::with(200, Body::Announced(bytes.len() as u64, bytes[..5 << 20].to_vec())),
                _ => Answer::new(404, ""),
            };
        }
        shelf.answer(asked)
    })
    .unwrap();
    let name = format!("{}/app", host.address());
    rig.pull(&name).unwrap_err();
    let download = rig.store.layout().download(&digest.parse().unwrap());
    assert_eq!(std::fs::metadata(&download).unwrap().len(), 5 << 20);
    healed.store(true, Ordering::Relaxed);
    rig.pull(&name).unwrap();
    assert_eq!(resumed_at(&rig), Some(5 << 20));
}

#[test]
fn a_host_without_ranges_is_gone_on_with_too() {
    if !is_root() {
        return;
    }
    for refuses in [true, false] {
        let (rig, made, shelf) = (Rig::new(), large(SIZE), Arc::new(Shelf::default()));
        shelf.publish("latest", &made).unwrap();
        let bytes = made.layers[0].1.clone();
        let digest = format!("sha256:{}", sha256(&bytes).unwrap());
        let (own, all) = (digest.clone(), bytes.clone());
        let host = Host::start(move |asked| match (asked.is("GET", &own), asked.header("range")) {
            (false, _) => shelf.answer(asked),
            (true, "") => Answer::new(200, all.clone()),
            (true, _) if refuses => Answer::new(416, ""),
            (true, _) => Answer::new(200, all.clone()),
        })
        .unwrap();
        let mut kept = rig.store.download(&digest.parse().unwrap()).unwrap().unwrap();
        kept.append(&bytes[..3 << 20]).unwrap();
        drop(kept);
        rig.pull(&format!("{}/app", host.address())).unwrap();
        assert!(rig.tree(&diff_ids(&made)[0]).join("noise").exists());
        let retried = rig.steps().iter().filter(|step| matches!(step, Step::Retried { .. })).count();
        assert_eq!(retried, usize::from(refuses));
    }
}

#[test]
fn bytes_that_somebody_changed_meanwhile_cost_only_themselves() {
    if !is_root() {
        return;
    }
    let (rig, made, shelf) = (Rig::new(), large(SIZE), Arc::new(Shelf::default()));
    shelf.publish("latest", &made).unwrap();
    let digest = format!("sha256:{}", sha256(&made.layers[0].1).unwrap());
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    let mut torn = rig.store.download(&digest.parse().unwrap()).unwrap().unwrap();
    torn.append(&vec![0; 3 << 20]).unwrap();
    drop(torn);
    rig.pull(&format!("{}/app", host.address())).unwrap();
    assert_eq!(resumed_at(&rig), Some(3 << 20));
    assert!(rig.steps().iter().any(|step| matches!(step, Step::Retried { .. })));
    assert!(rig.tree(&diff_ids(&made)[0]).join("noise").exists());
}

#[test]
fn a_layer_that_a_restart_cost_comes_back_under_its_name() {
    if !is_root() {
        return;
    }
    let (rig, made, shelf) = (Rig::new(), large(100), Arc::new(Shelf::default()));
    shelf.publish("latest", &made).unwrap();
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    let name = format!("{}/app", host.address());
    let pulled = rig.pull(&name).unwrap();
    let mut row = rig.store.index().layer(&pulled.fresh[0]).unwrap().unwrap();
    row.tree.as_mut().unwrap().boot = Some("another boot".to_owned());
    rig.store.index().put_layer(&row).unwrap();
    let again = rig.pull(&name).unwrap();
    assert_eq!(again.fresh, pulled.fresh);
    assert!(rig.tree(&diff_ids(&made)[0]).join("noise").exists());
}
