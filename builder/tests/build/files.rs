//! Builds that run nothing: layers straight from the context.

use super::world::{World, copy};
use builder::Cached;
use graph::{FileAction, Merge, Meta, ModeChange, Op, Unpack};

pub(crate) const CASES: &[crate::Case] = &[
    ("a_copy_becomes_a_layer_and_is_found_again", found_again),
    ("inline_files_and_directories", inline),
    ("a_stage_copies_from_another", stages),
    ("linked_copies_stack", linked),
    ("an_archive_is_unpacked", unpack),
    ("a_step_that_changes_nothing_has_no_layer", nothing),
];

fn found_again(world: &World) {
    let bench = world.bench();
    bench.write("src/a.txt", "a");
    bench.write("src/b/c.txt", "c");
    let mut plan = bench.plan();
    let root = plan.copy(plan.base, plan.context, &["src"], "/app/");
    let told = bench.build(&plan, root);
    assert_eq!(bench.read(told.built(), "/app/b/c.txt"), "c");
    assert_eq!(told.ran().len(), 1);
    let Cached::Hit(hit) = bench.cached(&plan, root) else { panic!("a miss") };
    assert_eq!(hit.manifest(), told.built().manifest());
    bench.write("src/a.txt", "b");
    assert!(matches!(bench.cached(&plan, root), Cached::Miss { needs_sandbox: false, .. }));
    let told = bench.build(&plan, root);
    assert_eq!(told.whys(), ["content of src/a.txt changed"]);
    assert_eq!(bench.read(told.built(), "/app/a.txt"), "b");
}

fn inline(world: &World) {
    let bench = world.bench();
    let mut plan = bench.plan();
    let made = plan.file(
        plan.base,
        vec![],
        vec![FileAction::MakeDir { path: "/work/deep".into(), mode: 0o755, owner: None, parents: true }],
    );
    let text = FileAction::WriteFile {
        path: "/work/deep/x".into(),
        data: b"text".to_vec(),
        mode: Some(ModeChange::Octal(0o600)),
        owner: None,
    };
    let root = plan.file(made, vec![], vec![text]);
    let told = bench.build(&plan, root);
    let view = bench.view(told.built());
    assert_eq!(super::world::read(&view, "/work/deep/x"), "text");
    assert_eq!(view.lookup(b"/work/deep/x", false).unwrap().unwrap().entry().mode, 0o600);
}

fn stages(world: &World) {
    let bench = world.bench();
    bench.write("a", "from the context");
    let mut plan = bench.plan();
    let first = plan.copy(plan.scratch, plan.context, &["a"], "/out/");
    plan.config.history.pop();
    let root = plan.copy(plan.base, first, &["/out/a"], "/b");
    let told = bench.build(&plan, root);
    assert_eq!(bench.read(told.built(), "/b"), "from the context");
}

fn linked(world: &World) {
    let bench = world.bench();
    bench.write("a", "linked");
    let mut plan = bench.plan();
    let layer = plan.copy(plan.scratch, plan.context, &["a"], "/x/");
    let root = plan.graph.add(
        Op::Merge(Merge {}),
        vec![plan.base, layer],
        Meta { name: "COPY --link a /x/".into(), ..Meta::default() },
    );
    let told = bench.build(&plan, root);
    assert_eq!(bench.read(told.built(), "/x/a"), "linked");
    assert_eq!(bench.config(told.built()).rootfs.diff_ids.len(), 2);
    assert!(matches!(bench.cached(&plan, root), Cached::Hit(_)));
}

fn unpack(world: &World) {
    let bench = world.bench();
    let tar = fixtures::Layer::new().dir("d", 0o750).file("d/f", 0o644, b"packed").finish();
    std::fs::write(bench.context().join("a.dat"), tar).unwrap();
    bench.write("plain.tar", "not a tar");
    let mut plan = bench.plan();
    let mut add = copy(&["a.dat", "plain.tar"], "/in/");
    add.unpack = Unpack::Archives;
    let root = plan.file(plan.base, vec![plan.context], vec![FileAction::Copy(add)]);
    let told = bench.build(&plan, root);
    let view = bench.view(told.built());
    assert_eq!(super::world::read(&view, "/in/d/f"), "packed");
    assert_eq!(super::world::read(&view, "/in/plain.tar"), "not a tar");
    assert_eq!(view.lookup(b"/in/d", false).unwrap().unwrap().entry().mode, 0o750);
}

fn nothing(world: &World) {
    let bench = world.bench();
    let mut plan = bench.plan();
    let made = plan.file(
        plan.base,
        vec![],
        vec![FileAction::MakeDir { path: "/tmp".into(), mode: 0o755, owner: None, parents: true }],
    );
    bench.write("a", "a");
    let root = plan.copy(made, plan.context, &["a"], "/a");
    let config = bench.config(bench.build(&plan, root).built());
    assert_eq!(config.rootfs.diff_ids.len(), 2);
    assert_eq!(config.history.iter().map(|entry| entry.empty_layer).collect::<Vec<_>>(), [false, true, false]);
}
