//! Many processes on one store, and processes that die in the middle of anything.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oci::DiffId;
use store::{BlobForm, Blobs, Expected, LayerId, LayerRow, Record, Store};

const ROOT: &str = "ESTIBA_TEST_STORE";
const ROLE: &str = "ESTIBA_TEST_ROLE";

/// Another process of this test binary, in a role.
fn process(root: &Path, role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
        .env(ROOT, root)
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what the processes do.
#[test]
fn worker() {
    let (Some(root), Ok(role)) = (std::env::var_os(ROOT), std::env::var(ROLE)) else { return };
    match role.as_str() {
        "forever" => {
            let store = Store::open(root).unwrap();
            println!("ready");
            for round in 0.. {
                write_image(&store, std::process::id(), round);
            }
        }
        "holder" => {
            let store = Store::open(root).unwrap();
            let _lease = store.lease().unwrap();
            let _lock = store.lock_key("key").unwrap();
            println!("ready");
            std::thread::sleep(Duration::from_secs(60));
        }
        _ => {
            // Opening is part of the race: the first ones here make the store.
            let store = Store::open(root).unwrap();
            for round in 0..20 {
                write_image(&store, role.parse().unwrap(), round);
            }
        }
    }
}

/// Everything that an image is, in the order that makes it safe to die.
fn write_image(store: &Store, process: u32, round: u32) {
    let content = format!("{process} {round} ").repeat(2000);
    let mut writer = store.blobs().writer().unwrap();
    for chunk in content.as_bytes().chunks(1000) {
        writer.write_all(chunk).unwrap();
    }
    let (digest, size) = writer.commit(Expected::any()).unwrap();
    let id = LayerId::mint();
    let blob = BlobForm { digest, media_type: "application/test".to_owned(), size };
    let row = LayerRow { id: id.clone(), tree: None, blob: Some(blob), size, created: 1 };
    store.put_toc(&id, true, |out| out.write_all(b"toc")).unwrap();
    store.index().put_layer_with_diff_id(&row, &DiffId::new(digest)).unwrap();
    let manifest = store.blobs().put_bytes(format!("manifest of {process} {round}").as_bytes()).unwrap();
    store.index().put_edges(&manifest, &[digest]).unwrap();
    store.index().put_image(&format!("image:{process}-{round}"), &manifest, 1).unwrap();
    let record = Record {
        layers: vec![id],
        created: 1,
        preimage: content[..100].to_owned(),
        vertex_name: format!("step {process}"),
    };
    store.index().put_record(&manifest, &record).unwrap();
    store.index().touch(&[manifest], 2).unwrap();
}

/// What is there is whole, and names nothing that is not there.
fn check(store: &Store) -> usize {
    for digest in store.blobs().digests().unwrap() {
        store.blobs().read_bytes(&digest, 1 << 30).unwrap();
    }
    let index = store.index();
    let images = index.images().unwrap();
    for image in &images {
        assert!(store.blobs().size(&image.manifest).unwrap().is_some(), "{image:?}");
        let children = index.edges(&image.manifest).unwrap();
        assert!(!children.is_empty() && children.iter().all(|child| store.blobs().size(child).unwrap().is_some()));
    }
    for layer in index.layers().unwrap() {
        assert!(store.blobs().size(&layer.blob.as_ref().unwrap().digest).unwrap().is_some());
        assert!(index.diff_id(&layer.id, None).unwrap().is_some());
        assert_eq!(store.toc(&layer.id).unwrap().as_deref(), Some(&b"toc"[..]));
    }
    for (_, layers, _) in index.records().unwrap() {
        assert!(layers.iter().all(|id| index.layer(id).unwrap().is_some()));
    }
    images.len()
}

#[test]
fn many_processes_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let mut processes: Vec<Child> = (0..6).map(|role| process(&root, &role.to_string())).collect();
    for process in &mut processes {
        assert!(process.wait().unwrap().success());
    }
    let store = Store::open_existing(&root).unwrap();
    assert_eq!(check(&store), 6 * 20);
    assert_eq!(store.index().records().unwrap().len(), 6 * 20);
}

/// `ESTIBA_KILLS` says how often (20).
#[test]
fn a_killed_process_leaves_a_whole_store() {
    let kills = std::env::var("ESTIBA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let mut images = 0;
    for round in 0..kills {
        let mut victim = process(&root, "forever");
        if round % 4 != 0 {
            let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
            while !lines.next().unwrap().unwrap().contains("ready") {}
        }
        // The clock's last digits are as random as a delay needs to be.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        // Some die while they lay the store, most between a first image and a dozenth.
        let longest = if round % 4 == 0 { 40_000 } else { 400_000 };
        std::thread::sleep(Duration::from_micros(u64::from(now.subsec_nanos() / 7 % longest)));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let store = Store::open(&root).unwrap();
        let found = check(&store);
        assert!(found >= images, "images were lost: {found} of {images}");
        images = found;
        store.blobs().sweep_ingest().unwrap();
        assert_eq!(std::fs::read_dir(store.layout().ingest()).unwrap().count(), 0);
    }
    assert!(kills < 4 || images > 0);
}

#[test]
fn locks_and_leases_die_with_their_holder() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let mut holder = process(store.root(), "holder");
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("ready") {}
    assert!(store.try_lock_key("key").unwrap().is_none());
    assert!(store.try_lock_key("other").unwrap().is_some());
    let (lock, pins) = store.collect().unwrap();
    assert!(pins.oldest.is_some());
    drop(lock);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let lock = store.lock_key("key").unwrap();
    assert!(store.try_lock_key("key").unwrap().is_none());
    drop(lock);
    let (_, pins) = store.collect().unwrap();
    assert_eq!(pins.oldest, None);
    for folder in [store.layout().leases(), store.layout().locks()] {
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    }
}

#[test]
fn one_of_many_threads_holds_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let inside = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let _lock = store.lock_key("key").unwrap();
                    assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
    });
}

#[test]
fn a_pin_is_seen_or_waits() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let lease = store.lease().unwrap();
    let id = LayerId::mint();
    lease.pin(std::slice::from_ref(&id)).unwrap();
    let (lock, pins) = store.collect().unwrap();
    assert!(pins.names.contains(id.as_str()));
    std::thread::scope(|scope| {
        let pin = scope.spawn(|| lease.pin(&["late"]).unwrap());
        // What a process makes whose lease the collector did not see would be litter to it.
        let another = scope.spawn(|| drop(store.lease().unwrap()));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!pin.is_finished() && !another.is_finished());
        drop(lock);
    });
    let (_lock, pins) = store.collect().unwrap();
    assert!(pins.names.contains("late"));
    assert_eq!(pins.names.len(), 2);
}
