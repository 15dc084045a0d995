//! RUN: what it sees, what it leaves, how it ends.

use std::time::{Duration, Instant};

use super::world::{Told, World, exec, exists};
use builder::{Cancel, Error};
use graph::{Exec, Mount, MountKind, Sharing};

pub(crate) const CASES: &[crate::Case] = &[
    ("a_run_becomes_a_layer", layer),
    ("a_run_on_scratch", on_scratch),
    ("nothing_that_is_mounted_leaks", no_leaks),
    ("a_failing_run_says_how", failing),
    ("stages_run_side_by_side", side_by_side),
    ("cancelling_kills_and_keeps_what_finished", cancelled),
    ("cache_mounts_outlive_builds", caches),
    ("bind_mounts_show_and_forget", binds),
    ("a_bundle_is_trusted_and_leaves_no_trace", bundle),
];

fn layer(world: &World) {
    let bench = world.bench();
    let mut plan = bench.plan();
    let one = plan.run(plan.base, "echo one > /one; echo said");
    let two = plan.run(one, "true");
    let root = plan.run(two, "cat /one > /two; rm /one");
    let told = bench.build(&plan, root);
    let config = bench.config(told.built());
    assert!(told.output().contains("said\n"));
    assert_eq!(config.rootfs.diff_ids.len(), 3);
    assert_eq!(config.history.iter().map(|entry| entry.empty_layer).collect::<Vec<_>>(), [false, false, true, false]);
    assert!(config.history.iter().all(|entry| entry.created.is_some()));
    let view = bench.view(told.built());
    assert_eq!(super::world::read(&view, "/two"), "one\n");
    assert!(view.lookup(b"/one", false).unwrap().is_none());
    assert!(matches!(bench.cached(&plan, root), builder::Cached::Hit(_)));
}

fn on_scratch(world: &World) {
    let bench = world.bench();
    std::fs::copy(fixtures::busybox().unwrap(), bench.context().join("busybox")).unwrap();
    let mut plan = bench.plan();
    plan.config.history.clear();
    plan.config.rootfs.diff_ids.clear();
    let copied = plan.copy(plan.scratch, plan.context, &["busybox"], "/");
    let root =
        plan.exec(copied, vec![], Exec { args: vec!["/busybox".into(), "touch".into(), "/made".into()], ..exec("") });
    let view = bench.view(bench.build(&plan, root).built());
    let names: Vec<_> = view
        .read_dir(&view.root())
        .unwrap()
        .iter()
        .map(|node| String::from_utf8_lossy(node.path()).into_owned())
        .collect();
    assert_eq!(names, ["busybox", "made"]);
}

fn no_leaks(world: &World) {
    let bench = world.bench();
    let mut plan = bench.plan();
    let mut step =
        exec("mount > /seen; test -s /etc/resolv.conf; grep -q localhost /etc/hosts; ls /cache /tmpfs /script");
    let mount = |target: &str, kind| Mount { target: target.into(), readonly: false, kind };
    step.mounts = vec![
        mount(
            "/cache/deep",
            MountKind::Cache { id: "c".into(), sharing: Sharing::Shared, seed: None, mode: 0o755, uid: 0, gid: 0 },
        ),
        mount("/tmpfs", MountKind::Tmpfs { size: None }),
        mount("/script", MountKind::File { data: b"#!/bin/sh\n".to_vec(), mode: 0o700 }),
    ];
    let root = plan.exec(plan.base, vec![], step);
    let told = bench.build(&plan, root);
    let view = bench.view(told.built());
    for path in
        ["/cache", "/tmpfs", "/script", "/etc/resolv.conf", "/etc/hosts", "/etc/mtab", "/dev/null", "/.dockerenv"]
    {
        assert!(view.lookup(path.as_bytes(), false).unwrap().is_none(), "{path} is in the layer");
    }
    let id = bench
        .store
        .index()
        .layer_by_diff_id(bench.config(told.built()).rootfs.diff_ids.last().unwrap())
        .unwrap()
        .unwrap();
    let entries = std::fs::read_dir(bench.store.layout().tree(&id))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect::<Vec<_>>();
    assert_eq!(entries, ["seen"]);
}

fn failing(world: &World) {
    let bench = world.bench();
    let mut plan = bench.plan();
    let root = plan.run(plan.base, "echo before; echo why >&2; exit 7");
    let told = bench.build(&plan, root);
    match told.result.as_ref().unwrap_err() {
        Error::Vertex { exit_code, log_tail, log, .. } => {
            assert_eq!(*exit_code, Some(7));
            assert!(log_tail.contains(&"why".to_owned()));
            assert!(std::fs::read_to_string(log.as_ref().unwrap()).unwrap().contains("before\n"));
        }
        other => panic!("{other}"),
    }
    let mut plan = bench.plan();
    let root = plan.exec(plan.base, vec![], Exec { args: vec!["/no/such".into()], ..exec("") });
    let told = bench.build(&plan, root);
    assert!(matches!(told.result, Err(Error::Vertex { exit_code: Some(127), .. })), "{}", told.error());
}

fn side_by_side(world: &World) {
    let bench = world.bench();
    let mut plan = bench.plan();
    let stages: Vec<_> = (0..4).map(|n| plan.run(plan.base, &format!("sleep 0.5; echo {n} > /{n}"))).collect();
    plan.config.history.truncate(1);
    let copies = (0..4)
        .map(|n| {
            graph::FileAction::Copy(graph::Copy { input: n + 1, ..super::world::copy(&[&format!("/{n}")], "/out/") })
        })
        .collect();
    let root = plan.file(plan.base, stages, copies);
    let begin = Instant::now();
    let told = bench.build(&plan, root);
    let took = begin.elapsed();
    assert_eq!(bench.read(told.built(), "/out/3"), "3\n");
    assert!(took < Duration::from_millis(1_500), "{took:?}");
}

fn cancelled(world: &World) {
    let bench = world.bench();
    let mut plan = bench.plan();
    let done = plan.run(plan.base, "echo done > /done");
    let root = plan.run(done, "echo started; sleep 30");
    let cancel = Cancel::new();
    let thrower = cancel.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        thrower.cancel();
    });
    let begin = Instant::now();
    let told = bench.run_with(bench.request(&plan, root), &cancel);
    thread.join().unwrap();
    assert!(matches!(told.result, Err(Error::Cancelled)), "{}", told.error());
    assert!(begin.elapsed() < Duration::from_secs(5));
    let again = bench.build(&plan, done);
    assert!(again.ran().is_empty());
}

fn run_with_mounts(bench: &super::world::Bench<'_>, command: &str, mounts: Vec<Mount>) -> Told {
    let mut plan = bench.plan();
    let step = Exec { mounts, ..exec(command) };
    let inputs = vec![plan.context];
    let root = plan.exec(plan.base, inputs, step);
    bench.build(&plan, root)
}

fn caches(world: &World) {
    let bench = world.bench();
    bench.write("seed/s", "seed");
    let mount = |sharing| Mount {
        target: "/c".into(),
        readonly: false,
        kind: MountKind::Cache {
            id: "id".into(),
            sharing,
            seed: Some((1, "seed".into())),
            mode: 0o700,
            uid: 0,
            gid: 0,
        },
    };
    let first = run_with_mounts(&bench, "cat /c/s; echo 1 >> /c/n; stat -c %a /c", vec![mount(Sharing::Locked)]);
    first.built();
    assert_eq!(first.output(), "seed700\n");
    let second = run_with_mounts(&bench, "cat /c/n; echo 2 >> /c/n", vec![mount(Sharing::Shared)]);
    second.built();
    assert_eq!(second.output(), "1\n");
    // Twice in one RUN: it does not wait for itself.
    let again = Mount { target: "/d".into(), ..mount(Sharing::Shared) };
    let third = run_with_mounts(&bench, "cat /c/n /d/n", vec![mount(Sharing::Locked), again]);
    third.built();
    assert_eq!(third.output(), "1\n2\n1\n2\n");
}

fn binds(world: &World) {
    let bench = world.bench();
    bench.write("src/a", "bound");
    let mount = |source: &str, readonly| Mount {
        target: "/b".into(),
        readonly,
        kind: MountKind::Bind { input: 1, source: source.into() },
    };
    let told =
        run_with_mounts(&bench, "cat /b/a; echo changed > /b/a && cat /b/a; touch /b/new", vec![mount("/src", false)]);
    told.built();
    assert_eq!(told.output(), "boundchanged\n");
    assert_eq!(std::fs::read_to_string(bench.context().join("src/a")).unwrap(), "bound");
    assert!(!exists(&bench.context().join("src/new")));
    let told = run_with_mounts(&bench, "touch /b/new", vec![mount("/", true)]);
    assert!(told.result.is_err());
    let told = run_with_mounts(&bench, "cat /b", vec![mount("src/a", true)]);
    told.built();
    assert_eq!(told.output(), "bound");
}

fn bundle(world: &World) {
    let bench = world.bench();
    bench.write("ca.pem", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n");
    let mut plan = bench.plan();
    let mut step = exec(
        "cat $SSL_CERT_FILE; cat $APT_CONFIG; echo $GIT_SSL_CAINFO; env > /env.txt; ls /run > /ran.txt; rm /env.txt /ran.txt; touch /ran",
    );
    step.env.push(("GIT_SSL_CAINFO".into(), "mine".into()));
    let root = plan.exec(plan.base, vec![], step);
    let mut request = bench.request(&plan, root);
    request.options.running.ca_bundle = Some(bench.context().join("ca.pem"));
    let told = bench.run(request);
    let view = bench.view(told.built());
    assert!(told.output().contains("aGVsbG8=") && told.output().contains("CAInfo") && told.output().contains("mine\n"));
    assert!(view.lookup(b"/run", false).unwrap().is_none());
    // It is no part of the key.
    assert!(matches!(bench.cached(&plan, root), builder::Cached::Hit(_)));
}
