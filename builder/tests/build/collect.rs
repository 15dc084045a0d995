//! Garbage collection: what goes, what stays, beside running builds too.

use super::world::{Bench, World, exists};
use builder::Cached;
use builder::gc::{PruneOptions, prune, usage};
use store::Blobs;

pub(crate) const CASES: &[crate::Case] = &[
    ("a_prune_keeps_images_and_cache", keeps),
    ("a_prune_of_all_keeps_images", all),
    ("what_nothing_names_goes", nothing),
    ("a_dry_run_counts_and_keeps", dry),
    ("a_build_that_finds_everything_counts_as_use", found),
    ("a_live_lease_spares_what_is_young", leased),
    ("records_torn_by_a_power_cut_are_made_again", torn),
];

fn build(bench: &Bench<'_>) -> (super::world::Plan, graph::Edge, builder::Built) {
    bench.write("a", "a");
    let mut plan = bench.plan();
    let copied = plan.copy(plan.base, plan.context, &["a"], "/a");
    let root = plan.run(copied, "echo made > /made");
    let told = bench.build(&plan, root);
    let built = told.built().clone();
    (plan, root, built)
}

fn keeps(world: &World) {
    let bench = world.bench();
    let (plan, root, built) = build(&bench);
    prune(&bench.store, &PruneOptions::default()).unwrap();
    assert!(matches!(bench.cached(&plan, root), Cached::Hit(_)));
    assert_eq!(bench.read(&built, "/made"), "made\n");
}

fn all(world: &World) {
    let bench = world.bench();
    let (plan, root, built) = build(&bench);
    let pruned = prune(&bench.store, &PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    assert!(pruned.records > 0);
    assert!(matches!(bench.cached(&plan, root), Cached::Miss { .. }));
    assert_eq!(bench.read(&built, "/made"), "made\n");
    bench.build(&plan, root).built();
}

fn nothing(world: &World) {
    let bench = world.bench();
    let (plan, root, _) = build(&bench);
    std::fs::create_dir_all(bench.store.layout().snapshot("litter").join("fs")).unwrap();
    assert!(bench.store.index().remove_image("docker.io/library/app:latest").unwrap());
    assert!(bench.store.index().remove_image("docker.io/library/base:latest").unwrap());
    let pruned = prune(&bench.store, &PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    assert!(pruned.bytes > 0);
    assert!(bench.store.blobs().digests().unwrap().is_empty());
    let left: Vec<_> = std::fs::read_dir(bench.store.layout().snapshots()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(usage(&bench.store).unwrap().rows.iter().filter(|row| row.kind != "Logs").all(|row| row.total == 0));
    // Even the base is gone, which the build says.
    assert!(bench.build(&plan, root).error().contains("blob"));
}

fn dry(world: &World) {
    let bench = world.bench();
    let (plan, root, built) = build(&bench);
    let forget = vec!["docker.io/library/app:latest".to_owned()];
    let options = PruneOptions { all: true, forget, dry_run: true, ..PruneOptions::default() };
    let counted = prune(&bench.store, &options).unwrap();
    assert!(matches!(bench.cached(&plan, root), Cached::Hit(_)));
    assert_eq!(bench.read(&built, "/made"), "made\n");
    let old = PruneOptions { until: Some(std::time::Duration::from_secs(3600)), ..options.clone() };
    assert_eq!(prune(&bench.store, &old).unwrap().records, 0);
    let taken = prune(&bench.store, &PruneOptions { dry_run: false, ..options }).unwrap();
    assert!(counted.records > 0 && counted.layers > 0 && counted.bytes > 0);
    assert_eq!((counted.records, counted.layers, counted.blobs), (taken.records, taken.layers, taken.blobs));
}

fn found(world: &World) {
    let bench = world.bench();
    let (plan, root, _) = build(&bench);
    let index = bench.store.index();
    let keys: Vec<_> = index.records().unwrap().into_iter().map(|(key, ..)| key).collect();
    let old = PruneOptions {
        all: true,
        until: Some(std::time::Duration::from_secs(3600)),
        dry_run: true,
        ..PruneOptions::default()
    };
    index.touch(&keys, 0).unwrap();
    std::fs::remove_dir_all(bench.store.layout().used()).ok();
    assert!(prune(&bench.store, &old).unwrap().records > 0);
    assert!(matches!(bench.cached(&plan, root), Cached::Hit(_)));
    let taken = prune(&bench.store, &PruneOptions { dry_run: false, ..old }).unwrap();
    assert!(matches!(bench.cached(&plan, root), Cached::Hit(_)), "{taken:?}");
}

fn leased(world: &World) {
    let bench = world.bench();
    let lease = bench.store.lease().unwrap();
    build(&bench);
    bench.store.index().remove_image("docker.io/library/app:latest").unwrap();
    let young = prune(&bench.store, &PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    assert_eq!((young.layers, young.records), (0, 0));
    drop(lease);
    let later = prune(&bench.store, &PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    assert!(later.layers > 0 && later.records > 0);
    assert!(!exists(&bench.store.layout().snapshot("litter")));
}

fn torn(world: &World) {
    let bench = world.bench();
    let (plan, _, _) = build(&bench);
    for toc in std::fs::read_dir(bench.store.layout().tocs()).unwrap() {
        std::fs::write(toc.unwrap().path(), "").unwrap();
    }
    let mut plan = plan;
    let copied = plan.copy(plan.base, plan.context, &["a"], "/a");
    let more = plan.run(copied, "echo more > /more");
    let built = bench.build(&plan, more).built().clone();
    assert_eq!(bench.read(&built, "/more"), "more\n");
}
