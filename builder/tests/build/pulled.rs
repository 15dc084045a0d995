//! Bases that are known by their documents: layers come when a step runs on them, and not before.

use std::sync::Arc;

use builder::Cached;
use builder::transfer::pull::{PullOptions, Scope, missing, pull, sync};
use fixtures::{Host, Image, Shelf};
use oci::{Digest, Raw};
use store::{Blobs, Store};

use super::world::{Bench, World};

pub(crate) const CASES: &[crate::Case] = &[
    ("a_base_is_pulled_when_a_step_runs_on_it", lazily),
    ("a_base_that_is_gone_from_its_registry_fails_its_step", gone),
];

/// A registry with busybox, and a bench whose base is that image's documents.
fn bench(world: &World) -> (Bench<'_>, Host, Digest) {
    let mut bench = world.bench();
    let shelf = Arc::new(Shelf::default());
    shelf.publish("1", &Image::busybox(world.busybox()).made().unwrap().gzipped().unwrap()).unwrap();
    let host = Host::start(move |asked| shelf.answer(asked)).unwrap();
    let client = remote::Client::new(remote::Options::default());
    let store = Arc::new(Store::open(bench.store.root()).unwrap());
    let options = PullOptions { layers: Scope::DocumentsOnly, ..PullOptions::default() };
    let name = format!("{}/busybox:1", host.address()).parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let nobody: builder::transfer::Sink = Arc::new(|_| {});
    let pulled = runtime.block_on(pull(&store, &client, &name, &options, None, &nobody)).unwrap();
    let manifest: Raw<oci::Manifest> =
        Raw::parse(store.blobs().read_bytes(&pulled.manifest, 1 << 20).unwrap()).unwrap();
    let config = store.blobs().read_bytes(&manifest.value().config.digest, 1 << 20).unwrap();
    bench.stand_on(pulled.manifest, Raw::parse(config).unwrap().into_value());
    // Connections live in the runtime that made them.
    bench.client = Some(remote::Client::new(remote::Options::default()));
    (bench, host, pulled.manifest)
}

fn layer_gets(host: &Host) -> usize {
    host.count("GET", "/blobs/") - 1
}

fn lazily(world: &World) {
    let (bench, host, base) = bench(world);
    let mut plan = bench.plan();
    let root = plan.run(plan.base, "echo made > /made");
    assert!(matches!(bench.cached(&plan, root), Cached::Miss { needs_sandbox: true, .. }));
    assert_eq!((missing(&bench.store, &base).unwrap().len(), layer_gets(&host)), (1, 0));
    let told = bench.build(&plan, root);
    assert_eq!(bench.read(told.built(), "/made"), "made\n");
    assert_eq!(told.ran(), ["FROM busybox", "[1/9] RUN echo made > /made"]);
    assert_eq!((missing(&bench.store, &base).unwrap().len(), layer_gets(&host)), (0, 1));
    assert_eq!(told.built().fresh.len(), 1);
    sync(&bench.store, &told.built().fresh).unwrap();
    // From here on nobody needs the registry.
    drop(host);
    assert!(matches!(bench.cached(&plan, root), Cached::Hit(_)));
    let again = plan.run(root, "cat /made");
    let told = bench.build(&plan, again);
    assert_eq!((told.built().cached, told.output()), ((1, 2), "made\n".to_owned()));
}

fn gone(world: &World) {
    let (bench, host, _) = bench(world);
    drop(host);
    let mut plan = bench.plan();
    let root = plan.run(plan.base, "true");
    let error = bench.build(&plan, root).error();
    assert!(error.contains("FROM busybox") && error.contains("127.0.0.1"), "{error}");
}
