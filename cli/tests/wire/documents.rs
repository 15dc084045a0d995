//! Manifests, indexes and configs that lie.

use std::sync::Arc;

use fixtures::{Answer, Body, Image, Layer, Made, Shelf, sha256};
use serde_json::{Value, json};

use super::{Held, PATIENCE, PEAK_KIB, errors, honest, host, leaves_nothing, refused, run, small, works};
use crate::runner::Env;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A change of a manifest, and words of the refusal.
type Lie = (&'static str, fn(&mut Value), &'static [&'static str]);

const LIES: &[Lie] = &[
    (
        "a layer's digest is a path",
        |m| m["layers"][0]["digest"] = json!("sha256:../../../../etc/passwd"),
        &["manifest"],
    ),
    ("a layer's digest is a bare path", |m| m["layers"][1]["digest"] = json!("../../x"), &["manifest"]),
    ("a layer's digest is too short", |m| m["layers"][1]["digest"] = json!("sha256:abcd"), &["manifest"]),
    ("a layer's digest is in capitals", |m| upper(&mut m["layers"][0]["digest"]), &["manifest"]),
    ("a digest of an unknown kind", |m| m["layers"][0]["digest"] = json!("md5:d41d8cd98f00b204e9800998ecf8427e"), &[]),
    ("the config's digest is a path", |m| m["config"]["digest"] = json!("sha256:/etc/shadow"), &["manifest"]),
    ("a layer is said to be longer", |m| grow(&mut m["layers"][1]["size"], 1), &["sha256:"]),
    ("a layer is said to be shorter", |m| grow(&mut m["layers"][1]["size"], -1), &["sha256:"]),
    ("a layer is said to be empty", |m| m["layers"][1]["size"] = json!(0), &["sha256:"]),
    ("a layer is said to be huge", |m| m["layers"][1]["size"] = json!(1_u64 << 60), &["sha256:"]),
    ("a size below zero", |m| m["layers"][1]["size"] = json!(-1), &["manifest"]),
    ("a size beyond numbers", |m| m["layers"][1]["size"] = json!(1e30), &["manifest"]),
    ("a size in words", |m| m["layers"][1]["size"] = json!("12"), &["manifest"]),
    ("the config is said to be longer", |m| grow(&mut m["config"]["size"], 1), &["sha256:"]),
    ("the config is said to be huge", |m| m["config"]["size"] = json!(1_u64 << 40), &["config"]),
    ("a layer of an unknown kind", |m| m["layers"][1]["mediaType"] = json!("application/x-evil"), &["x-evil"]),
    ("both layers and manifests", |m| m["manifests"] = json!([m["config"].clone()]), &["manifest"]),
    ("a layer is left out", |m| drop(m["layers"].as_array_mut().unwrap().pop()), &["layers"]),
    ("a layer is named once more", |m| double(&mut m["layers"]), &["layers"]),
    ("layers in another order", |m| m["layers"].as_array_mut().unwrap().swap(0, 2), &["sha256:"]),
    ("layers are no list", |m| m["layers"] = json!({}), &["manifest"]),
    ("there is no config", |m| drop(m.as_object_mut().unwrap().remove("config")), &["manifest"]),
    ("of another version of the schema", |m| m["schemaVersion"] = json!(1), &["manifest"]),
];

fn grow(size: &mut Value, by: i64) {
    *size = json!(size.as_i64().unwrap() + by);
}

fn upper(digest: &mut Value) {
    *digest = json!(digest.as_str().unwrap().to_uppercase().replace("SHA256", "sha256"));
}

fn double(layers: &mut Value) {
    let first = layers[0].clone();
    layers.as_array_mut().unwrap().push(first);
}

#[test]
fn manifests_that_lie_are_refused() {
    let env = Env::new();
    let made = small();
    for (what, change, words) in LIES {
        let shelf = Arc::new(Shelf::default());
        shelf.publish_as("latest", &made, change).unwrap();
        let host = honest(&shelf);
        println!("{what}");
        let error = refused(&env, &["pull", &format!("{}/app", host.address())], words);
        println!("  {error}");
        assert!(
            host.asked().iter().all(|asked| !asked.target.contains("..") && !asked.target.contains("etc/")),
            "{what}"
        );
    }
    leaves_nothing(&env);
}

/// Text that is shown as a manifest, with the media type it is shown with.
#[test]
fn manifests_that_are_none_are_refused() {
    let good = small().manifest().unwrap().to_string();
    let deep =
        format!("{},\"annotations\":{}1{}}}", &good[..good.len() - 1], "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let twice = format!("{},\"layers\":[]}}", &good[..good.len() - 1]);
    let other = format!("{},\"config\":null}}", &good[..good.len() - 1]);
    let schema1 = r#"{"schemaVersion":1,"name":"app","tag":"latest","architecture":"amd64","fsLayers":[],"history":[],"signatures":[]}"#;
    let cases: Vec<(&str, String, &str)> = vec![
        ("not JSON", "<html>login</html>".into(), MANIFEST),
        ("nothing", String::new(), MANIFEST),
        ("a string", "\"x\"".into(), MANIFEST),
        ("a list", "[]".into(), MANIFEST),
        ("something after it", format!("{good} {{}}"), MANIFEST),
        ("deep", deep, MANIFEST),
        ("layers twice", twice, MANIFEST),
        ("config twice", other, MANIFEST),
        ("a manifest that is called an index", good.clone(), INDEX),
        ("docker's schema 1", schema1.into(), "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ("with control characters", "\u{1b}[31m{\u{7}".into(), MANIFEST),
    ];
    let env = Env::new();
    for (what, text, kind) in cases {
        let shelf = Arc::new(Shelf::default());
        shelf.publish("good", &small()).unwrap();
        shelf.manifest("latest", kind, text).unwrap();
        println!("{what}");
        let host = honest(&shelf);
        println!("  {}", refused(&env, &["pull", &format!("{}/app", host.address())], &["app"]));
    }
}

#[test]
fn documents_without_an_end_are_given_up() {
    let env = Env::new();
    let made = small();
    let shelf = Arc::new(Shelf::default());
    shelf.publish("latest", &made).unwrap();
    let config = format!("/blobs/{}", made.manifest().unwrap()["config"]["digest"].as_str().unwrap());
    for part in ["/manifests/latest".to_owned(), config] {
        let endless = host(&shelf, {
            let part = part.clone();
            move |asked| {
                asked.is("GET", &part).then(|| Answer::with(200, Body::Endless).header("Content-Type", MANIFEST))
            }
        });
        refused(&env, &["pull", &format!("{}/app", endless.address())], &[]);
    }
    let large = host(&shelf, |asked| {
        let spaces = vec![b' '; 9 << 20];
        asked.is("GET", "/manifests/latest").then(|| Answer::new(200, spaces).header("Content-Type", MANIFEST))
    });
    refused(&env, &["pull", &format!("{}/app", large.address())], &["limit"]);
}

#[test]
fn what_a_digest_names_must_be_it() {
    let env = Env::new();
    let shelf = Arc::new(Shelf::default());
    let digest = shelf.publish("latest", &small()).unwrap();
    let other = Image::empty().layer(Layer::new().file("evil", 0o644, b"evil")).made().unwrap();
    let evil = shelf.publish("evil", &other).unwrap();
    let swapped = host(&shelf, {
        let (digest, evil, shelf) = (digest.clone(), evil.clone(), Arc::clone(&shelf));
        move |asked| {
            let bytes = shelf.named(&evil)?;
            asked.is("GET", &digest).then(|| Answer::new(200, bytes).header("Content-Type", MANIFEST))
        }
    });
    refused(&env, &["pull", &format!("{}/app@{digest}", swapped.address())], &["digest"]);
    // By tag: what the header says and what comes are two.
    let header = host(&shelf, {
        let shelf = Arc::clone(&shelf);
        move |asked| {
            let bytes = shelf.named("latest")?;
            let answer =
                Answer::new(200, bytes).header("Content-Type", MANIFEST).header("Docker-Content-Digest", &evil);
            asked.is("GET", "/manifests/latest").then_some(answer)
        }
    });
    refused(&env, &["pull", &format!("{}/app", header.address())], &["digest"]);
}

fn index_of(children: Vec<Value>) -> String {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string()
}

fn child(shelf: &Shelf, digest: &str, kind: &str) -> Value {
    let size = shelf.named(digest).unwrap().len();
    json!({"mediaType": kind, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": architecture()}})
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

#[test]
fn indexes_that_lie_are_refused() {
    let env = Env::new();
    let shelf = Arc::new(Shelf::default());
    let image = shelf.publish("image", &small()).unwrap();
    let mut lies: Vec<(&str, Value)> = Vec::new();
    let good = child(&shelf, &image, MANIFEST);
    let mut change = |what, field: &str, value: Value| {
        let mut lie = good.clone();
        lie[field] = value;
        lies.push((what, lie));
    };
    change("a digest that is a path", "digest", json!("sha256:../../manifests/image"));
    change("longer", "size", json!(good["size"].as_u64().unwrap() + 1));
    change("shorter", "size", json!(1));
    change("huge", "size", json!(1_u64 << 50));
    change("an index, it says", "mediaType", json!(INDEX));
    change("absent", "digest", json!(format!("sha256:{}", "0".repeat(64))));
    for (what, lie) in lies {
        shelf.manifest("latest", INDEX, index_of(vec![lie])).unwrap();
        println!("{what}");
        let host = honest(&shelf);
        println!("  {}", refused(&env, &["pull", &format!("{}/app", host.address())], &[]));
    }
    // An index that names itself: its digest shows another that names it, without end.
    let own = format!("sha256:{}", "1".repeat(64));
    let size = index_of(vec![json!({"mediaType": INDEX, "digest": own, "size": 1000})]).len();
    let itself = index_of(vec![json!({"mediaType": INDEX, "digest": own, "size": size})]);
    let circle = host(&shelf, move |asked| {
        asked.is("GET", "/manifests/").then(|| Answer::new(200, itself.clone()).header("Content-Type", INDEX))
    });
    refused(&env, &["pull", &format!("{}/app", circle.address())], &[]);
    // A tower of indexes: each honest, each in the next.
    let mut top = image;
    let mut kind = MANIFEST;
    for _ in 0..200 {
        let text = index_of(vec![child(&shelf, &top, kind)]);
        top = shelf.manifest("tower", INDEX, text).unwrap();
        kind = INDEX;
    }
    let host = honest(&shelf);
    refused(&env, &["pull", &format!("{}/app:tower", host.address())], &[]);
    assert!(host.asked().len() < 50, "{} requests for a tower", host.asked().len());
    leaves_nothing(&env);
}

#[test]
fn configs_that_lie_are_refused() {
    let lies: &[Lie] = &[
        (
            "a DiffId of something else",
            |c| c["rootfs"]["diff_ids"][0] = json!(format!("sha256:{}", "ab".repeat(32))),
            &["abab"],
        ),
        ("DiffIds in another order", |c| c["rootfs"]["diff_ids"].as_array_mut().unwrap().swap(0, 1), &["sha256:"]),
        ("a DiffId too few", |c| drop(c["rootfs"]["diff_ids"].as_array_mut().unwrap().pop()), &["layers"]),
        ("a DiffId that is a path", |c| c["rootfs"]["diff_ids"][0] = json!("sha256:../../../x"), &[]),
        ("no DiffIds", |c| drop(c.as_object_mut().unwrap().remove("rootfs")), &[]),
        ("not an object", |c| *c = json!([1, 2]), &[]),
    ];
    let env = Env::new();
    for (what, change, words) in lies {
        let mut made = small();
        change(&mut made.config);
        let shelf = Arc::new(Shelf::default());
        shelf.publish("latest", &made).unwrap();
        println!("{what}");
        let host = honest(&shelf);
        println!("  {}", refused(&env, &["pull", &format!("{}/app", host.address())], words));
    }
    leaves_nothing(&env);
}

/// An image says that its layer is one that the store has from another image, and shows something else.
#[test]
fn a_layer_does_not_become_anothers() {
    let env = Env::new();
    let good = small();
    let shelf = Arc::new(Shelf::default());
    shelf.publish("good", &good).unwrap();
    let mut evil = Image::empty().layer(Layer::new().file("etc/one", 0o644, b"evil")).made().unwrap();
    evil.config["rootfs"]["diff_ids"] = json!([good.config["rootfs"]["diff_ids"][0]]);
    shelf.publish("evil", &evil).unwrap();
    let host = honest(&shelf);
    let at = |tag: &str| format!("{}/app:{tag}", host.address());
    // First: nothing comes of it, and the good one is itself afterwards.
    refused(&env, &["pull", &at("evil")], &["sha256:"]);
    works(&env, &["pull", &at("good")]);
    let tree = super::tree(&env, &at("good"));
    // Afterwards: it may be refused, or be the layer it says it is. It is never what it shows.
    let late = run(&env, &["pull", &at("evil")]);
    if late.said.code == 0 {
        let shown = super::tree(&env, &at("evil"));
        assert!(shown.iter().any(|line| line.contains(" 3") && line.ends_with("etc/one")), "{shown:?}");
    }
    let store = store::Store::open_existing(env.root()).unwrap();
    let diff_id = oci::DiffId::new(good.config["rootfs"]["diff_ids"][0].as_str().unwrap().parse().unwrap());
    let forms = store.index().variants(&diff_id).unwrap();
    let lied = format!("sha256:{}", sha256(&evil.layers[0].1).unwrap());
    assert!(forms.iter().all(|form| form.blob.to_string() != lied), "{forms:?}");
    assert_eq!(super::tree(&env, &at("good")), tree);
}

/// An image names a blob that the store has from another image, and says that it unpacks to a third one's layer.
#[test]
fn a_blob_of_the_store_does_not_become_another_layer() {
    let env = Env::new();
    let mine = Image::empty().layer(Layer::new().file("etc/one", 0o644, b"mine"));
    let blob = mine.layout_in(&env.work(), "mine").unwrap();
    env.ok(&["load", "--tag", "mine", "-i", blob.to_str().unwrap()]);
    let victim = Image::empty().layer(Layer::new().file("etc/one", 0o644, b"victim")).made().unwrap();
    let mut evil = Image::empty().layer(Layer::new().file("etc/one", 0o644, b"mine")).made().unwrap();
    evil.config["rootfs"]["diff_ids"] = victim.config["rootfs"]["diff_ids"].clone();
    let shelf = Arc::new(Shelf::default());
    shelf.publish("victim", &victim).unwrap();
    shelf.publish("evil", &evil).unwrap();
    let host = honest(&shelf);
    let at = |tag: &str| format!("{}/app:{tag}", host.address());
    refused(&env, &["pull", &at("evil")], &["sha256:"]);
    // Whatever builds and runs make of it.
    env.write("Dockerfile", format!("FROM {}\nCOPY Dockerfile /d\n", at("evil")));
    let built = run(&env, &["build", "--progress=plain", "."]);
    assert_ne!(built.said.code, 0, "{:#?}", built.said);
    works(&env, &["pull", &at("victim")]);
    let shown = super::tree(&env, &at("victim"));
    assert!(shown.iter().any(|line| line.contains(" 6 ") && line.ends_with("etc/one")), "{shown:?}");
}

/// Words of a registry are shown as words: no colours, titles or lines of its own.
#[test]
fn words_of_a_registry_stay_words() {
    let env = Env::new();
    let evil = "\u{1b}]0;title\u{7}\u{1b}[31m\r\nerror: mine";
    let made = small();
    type Change = Box<dyn Fn(&mut Value)>;
    let cases: Vec<(&str, Change)> = vec![
        ("a layer's kind", Box::new(move |m| m["layers"][0]["mediaType"] = json!(evil))),
        ("a config's kind", Box::new(move |m| m["config"]["mediaType"] = json!(evil))),
        (
            "an artifact's kind",
            Box::new(move |m| {
                m["artifactType"] = json!(evil);
                m["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json");
            }),
        ),
        ("a digest", Box::new(move |m| m["layers"][0]["digest"] = json!(evil))),
        ("a manifest's kind", Box::new(move |m| m["mediaType"] = json!(evil))),
    ];
    for (what, change) in cases {
        let shelf = Arc::new(Shelf::default());
        shelf.publish("good", &made).unwrap();
        let mut manifest = made.manifest().unwrap();
        change(&mut manifest);
        shelf.manifest("latest", MANIFEST, manifest.to_string()).unwrap();
        println!("{what}");
        let host = honest(&shelf);
        println!("  {}", refused(&env, &["pull", &format!("{}/app", host.address())], &[]));
    }
    let shelf = Arc::new(Shelf::default());
    let image = shelf.publish("image", &made).unwrap();
    let mut one = child(&shelf, &image, MANIFEST);
    one["platform"] = json!({"os": evil, "architecture": evil});
    let two = one.clone();
    shelf.manifest("latest", INDEX, index_of(vec![one, two])).unwrap();
    let host = honest(&shelf);
    println!("{}", refused(&env, &["pull", &format!("{}/app", host.address())], &["platform"]));
    let tags = super::host(&shelf, move |asked| {
        asked
            .is("GET", "/tags/list")
            .then(|| Answer::new(200, json!({"name": "app", "tags": [evil, "../../x", "", "good"]}).to_string()))
    });
    let watched = run(&env, &["tags", &format!("{}/app", tags.address())]);
    println!("{:#?}", watched.said);
    let said = watched.said.stdout + &watched.said.stderr;
    assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
}

/// What a pull refuses, a build and a run refuse too.
#[test]
fn builds_and_runs_refuse_the_same() {
    let env = Env::new();
    let shelf = Arc::new(Shelf::default());
    shelf.publish_as("latest", &small(), |m| m["layers"].as_array_mut().unwrap().swap(0, 2)).unwrap();
    let host = honest(&shelf);
    let name = format!("{}/app", host.address());
    env.write("Dockerfile", format!("FROM {name}\nRUN true\n"));
    let built = run(&env, &["build", "--progress=plain", "."]);
    assert_eq!(built.said.code, 1, "{:#?}", built.said);
    let ran = run(&env, &["run", "--rm", &name, "true"]);
    assert_eq!(ran.said.code, 125, "{:#?}", ran.said);
    for said in [built.said, ran.said] {
        println!("{}", said.stderr);
        assert_eq!(errors(&said.stderr), 1, "{}", said.stderr);
        assert!(said.stderr.contains("sha256:"), "{}", said.stderr);
    }
    let held = Held::of(&env);
    assert!(held.layers.len() < 3, "{held:?}");
}

fn of_many_layers(count: usize, distinct: bool) -> Made {
    let layer =
        |number: usize| Layer::new().file(&format!("f{}", if distinct { number } else { 0 }), 0o644, b"x").finish();
    let mut made = Image::empty().layer(Layer::new().file("f0", 0o644, b"x")).made().unwrap();
    let first = made.config["rootfs"]["diff_ids"][0].clone();
    let mut diff_ids = Vec::new();
    made.layers.truncate(1);
    let one = made.layers.remove(0);
    for number in 0..count {
        let bytes = if distinct { layer(number) } else { one.1.clone() };
        diff_ids.push(if distinct { json!(format!("sha256:{}", sha256(&bytes).unwrap())) } else { first.clone() });
        made.layers.push((one.0.clone(), bytes));
    }
    made.config["rootfs"]["diff_ids"] = json!(diff_ids);
    made
}

/// Ten thousand times the same layer: refused, or one layer; in bounded time and memory either way.
#[test]
fn ten_thousand_layers() {
    let env = Env::new();
    let shelf = Arc::new(Shelf::default());
    let one = of_many_layers(1, false);
    let manifest = one.manifest().unwrap();
    let mut config = one.config.clone();
    config["rootfs"]["diff_ids"] = json!(vec![config["rootfs"]["diff_ids"][0].clone(); 10_000]);
    let made = Made { layers: one.layers, config };
    shelf.publish_as("latest", &made, |m| m["layers"] = json!(vec![manifest["layers"][0].clone(); 10_000])).unwrap();
    let host = honest(&shelf);
    let watched = run(&env, &["pull", &format!("{}/app", host.address())]);
    assert!(watched.took < PATIENCE / 2 && watched.peak < PEAK_KIB, "{:?} {} KiB", watched.took, watched.peak);
    assert!(host.count("GET", "/blobs/") <= 3, "{} blobs fetched", host.count("GET", "/blobs/"));
    if watched.said.code != 0 {
        assert_eq!(errors(&watched.said.stderr), 1, "{}", watched.said.stderr);
        assert_eq!(Held::of(&env).images, Vec::<String>::new());
    }
}

/// More layers than the kernel stacks: what comes can also be run, or is refused.
#[test]
fn six_hundred_layers() {
    let env = Env::new();
    let shelf = Arc::new(Shelf::default());
    shelf.publish("latest", &of_many_layers(600, true)).unwrap();
    let host = honest(&shelf);
    let name = format!("{}/app", host.address());
    let watched = run(&env, &["pull", &name]);
    println!("{:?} {} KiB {:#?}", watched.took, watched.peak, watched.said);
    assert!(watched.took < PATIENCE && watched.peak < PEAK_KIB, "{:?} {} KiB", watched.took, watched.peak);
    if watched.said.code == 0 {
        assert_eq!(super::tree(&env, &name).len(), 600);
    }
}
