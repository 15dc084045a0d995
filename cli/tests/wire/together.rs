//! Several processes that want the same.

use std::sync::Arc;
use std::time::Duration;

use fixtures::{Answer, Body, Image, Layer, Made, Shelf};

use super::{Held, honest, host, noise, start, watch, works};
use crate::runner::Env;

/// Two images that share a layer of 9 MB.
fn pair() -> [Made; 2] {
    let shared = || Layer::new().file("shared", 0o644, &noise(9_000_000, 1));
    let own = |name: &str| Layer::new().file(name, 0o644, &noise(300_000, 7));
    ["one", "two"].map(|name| Image::empty().layer(shared()).layer(own(name)).made().unwrap().gzipped().unwrap())
}

#[test]
fn a_layer_that_two_pulls_want_comes_once() {
    let env = Env::new();
    let shelf = Arc::new(Shelf::default());
    let [one, two] = pair();
    shelf.publish("one", &one).unwrap();
    shelf.publish("two", &two).unwrap();
    let shared = format!("sha256:{}", fixtures::sha256(&one.layers[0].1).unwrap());
    let slow = host(&shelf, {
        let (shared, bytes) = (shared.clone(), one.layers[0].1.clone());
        move |asked| {
            let whole = asked.header("range").is_empty();
            let pause = Duration::from_millis(20);
            (asked.is("GET", &shared) && whole)
                .then(|| Answer::with(200, Body::Dripping(bytes.clone(), 256 << 10, pause)))
        }
    });
    let at = |tag: &str| format!("{}/app:{tag}", slow.address());
    let pulls: Vec<_> = ["one", "two", "one", "two"].iter().map(|tag| start(&env, &["pull", &at(tag)])).collect();
    for pull in pulls {
        let watched = watch(pull);
        assert_eq!(watched.said.code, 0, "{:#?}", watched.said);
    }
    assert_eq!(slow.count("GET", &shared), 1, "the shared layer came more than once");
    for made in [&one, &two] {
        let own = format!("sha256:{}", fixtures::sha256(&made.layers[1].1).unwrap());
        assert_eq!(slow.count("GET", &own), 1, "a layer came more than once");
    }
    for tag in ["one", "two"] {
        assert_eq!(super::tree(&env, &at(tag)).len(), 2);
    }
}

/// The one that pulls dies; the one that waits takes over, and goes on where the other was.
#[test]
fn who_waits_takes_over() {
    let env = Env::new();
    let shelf = Arc::new(Shelf::default());
    let [one, _] = pair();
    shelf.publish("one", &one).unwrap();
    let shared = format!("sha256:{}", fixtures::sha256(&one.layers[0].1).unwrap());
    let slow = host(&shelf, {
        let (shared, bytes) = (shared.clone(), one.layers[0].1.clone());
        move |asked| {
            let pause = Duration::from_millis(40);
            let whole = asked.header("range").is_empty();
            (asked.is("GET", &shared) && whole)
                .then(|| Answer::with(200, Body::Dripping(bytes.clone(), 256 << 10, pause)))
        }
    });
    let name = format!("{}/app:one", slow.address());
    let mut first = start(&env, &["pull", &name]);
    while slow.count("GET", &shared) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(400));
    let second = start(&env, &["pull", &name]);
    std::thread::sleep(Duration::from_millis(300));
    first.kill().unwrap();
    first.wait().unwrap();
    let watched = watch(second);
    assert_eq!(watched.said.code, 0, "{:#?}", watched.said);
    let ranges: Vec<String> = slow
        .asked()
        .iter()
        .filter(|asked| asked.is("GET", &shared))
        .map(|asked| asked.header("range").to_owned())
        .collect();
    assert!(
        ranges.iter().any(|range| range.starts_with("bytes=") && range != "bytes=0-"),
        "it began again: {ranges:?}"
    );
    assert_eq!(super::tree(&env, &name).len(), 2);
}

/// What is pulled is not collected by a prune beside it, and both end.
#[test]
fn a_prune_beside_pulls() {
    let env = Env::new();
    let shelf = Arc::new(Shelf::default());
    shelf.publish("one", &pair()[0]).unwrap();
    let host = honest(&shelf);
    let name = format!("{}/app:one", host.address());
    for _ in 0..4 {
        let pull = start(&env, &["pull", &name]);
        let prunes = [start(&env, &["prune", "-af"]), start(&env, &["prune", "-af"])];
        for prune in prunes {
            let watched = watch(prune);
            assert_eq!(watched.said.code, 0, "{:#?}", watched.said);
        }
        let watched = watch(pull);
        assert_eq!(watched.said.code, 0, "{:#?}", watched.said);
        assert_eq!(super::tree(&env, &name).len(), 2);
        works(&env, &["rmi", "-f", &name]);
    }
    works(&env, &["prune", "-af"]);
    let held = Held::of(&env);
    assert_eq!(held, Held { images: vec![], layers: vec![], blobs: vec![], trees: vec![] });
}
