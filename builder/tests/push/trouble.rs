//! Connections that break, files that are damaged, processes that die.

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use builder::transfer::push::{PushError, PushOptions};
use fixtures::{Fault, Host, Proxy, Rule, Way};

use crate::rig::{Rig, Running, assert_whole, noise, text};

const MIB: u64 = 1 << 20;

#[test]
fn a_layer_is_made_once_however_often_the_connection_breaks() {
    let (rig, registry) = (Rig::new(), Running::start());
    let bytes = noise(12 << 20, 5);
    let image = rig.image(&[&bytes]);
    let plan = [2, 5, 9].map(|at| Rule::after(at * MIB, Way::Up, Fault::Cut));
    let proxy = Proxy::start(registry.address, plan).unwrap();
    let name = format!("{}/app:v1", proxy.address());
    rig.push_with(&image, &name, &PushOptions { parallel: 1, ..PushOptions::default() }).unwrap();
    assert!(proxy.hit());
    assert_whole(&registry.name("app:v1"), &rig.config(&image));
    assert_eq!(rig.store.compressed_forms().unwrap().len(), 1);
}

#[test]
fn a_damaged_cache_is_dropped() {
    let (rig, one, two) = (Rig::new(), Running::start(), Running::start());
    let image = rig.image(&[&text(2 << 20)]);
    let pushed = rig.push(&image, &one.name("app:v1")).unwrap();
    let (digest, size, _) = rig.store.compressed_forms().unwrap()[0];
    let path = rig.store.layout().compressed_blob(&digest);
    // Torn as by a power cut: the length is right, the bytes are not.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, vec![0; usize::try_from(size).unwrap()]).unwrap();
    let again = rig.push(&image, &two.name("app:v1")).unwrap();
    assert_eq!(again.descriptor, pushed.descriptor);
    assert_whole(&two.name("app:v1"), &rig.config(&image));
}

#[test]
fn a_refusal_ends_it_and_says_where() {
    let rig = Rig::new();
    let image = rig.image(&[&text(20 << 20)]);
    let host = Host::start(|asked| match asked.method.as_str() {
        "HEAD" => fixtures::Answer::new(404, ""),
        "GET" => fixtures::Answer::new(200, "{}"),
        _ => fixtures::Answer::new(403, r#"{"errors":[{"code":"DENIED","message":"read only"}]}"#),
    })
    .unwrap();
    let error = rig.push(&image, &format!("{}/app:v1", host.address())).unwrap_err();
    assert!(matches!(error, PushError::Remote(_)) && error.to_string().contains("DENIED (read only)"), "{error}");
}

/// The child of [`a_killed_push_is_taken_up_by_the_next`].
#[test]
#[ignore = "run by a_killed_push_is_taken_up_by_the_next"]
fn pushes_until_it_is_killed() {
    let [store, image, name] = ["STORE", "IMAGE", "NAME"].map(|key| std::env::var(format!("PUSH_{key}")).unwrap());
    let store = std::sync::Arc::new(store::Store::open(&store).unwrap());
    let options = PushOptions::default();
    let sink: builder::transfer::Sink = std::sync::Arc::new(|_| {});
    let client = crate::rig::client();
    let (image, name) = (image.parse().unwrap(), name.parse().unwrap());
    crate::rig::run(builder::transfer::push::push(&store, &client, &image, &name, &options, None, &sink)).unwrap();
}

#[test]
fn a_killed_push_is_taken_up_by_the_next() {
    let (rig, registry) = (Rig::new(), Running::start());
    let image = rig.image(&[&text(40 << 20), &noise(20 << 20, 6)]);
    let name = registry.name("app:v1");
    for wait in [20, 80, 150, 250, 400] {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "trouble::pushes_until_it_is_killed"]).process_group(0);
        command
            .env("PUSH_STORE", rig.store.layout().root())
            .env("PUSH_IMAGE", image.to_string())
            .env("PUSH_NAME", &name);
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    rig.push(&image, &name).unwrap();
    assert_whole(&name, &rig.config(&image));
    rig.store.blobs().sweep_ingest().unwrap();
    assert_eq!(std::fs::read_dir(rig.store.layout().ingest()).unwrap().count(), 0);
}
