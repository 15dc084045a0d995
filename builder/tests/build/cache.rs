//! What is found again, and why something is not.

use super::world::{World, copy, exec};
use builder::Cached;
use graph::FileAction;

pub(crate) const CASES: &[crate::Case] = &[
    ("a_stage_with_the_same_output_costs_its_users_nothing", same_output),
    ("misses_are_explained", explained),
    ("a_step_that_changes_nothing_may_come_between", nothing_between),
    ("the_cache_may_be_ignored", ignored),
    ("two_builds_run_a_step_once", shared),
    ("an_epoch_gives_the_same_image_in_another_store", reproducible),
];

fn same_output(world: &World) {
    let bench = world.bench();
    let build = |text: &str| {
        bench.write("in", text);
        let mut plan = bench.plan();
        let copied = plan.copy(plan.base, plan.context, &["in"], "/in");
        let made = plan.run(copied, "head -c 1 /in > /out");
        plan.config.history.truncate(1);
        let taken = plan.copy(plan.base, made, &["/out"], "/out");
        let root = plan.run(taken, "cat /out > /result");
        bench.build(&plan, root)
    };
    let first = build("a1");
    assert_eq!(bench.read(first.built(), "/result"), "a");
    let second = build("a2");
    assert_eq!(second.ran(), ["[1/9] COPY in /in", "[2/9] RUN head -c 1 /in > /out"]);
    assert_eq!(second.built().manifest(), first.built().manifest());
    let third = build("b");
    assert_eq!(third.ran().len(), 4);
    assert_eq!(bench.read(third.built(), "/result"), "b");
}

fn explained(world: &World) {
    let bench = world.bench();
    let build = |rev: &str, command: &str| {
        let mut plan = bench.plan();
        let mut step = exec(command);
        step.env.push(("REV".into(), rev.into()));
        let made = plan.exec(plan.base, vec![], step);
        let root = plan.run(made, "echo second > /second");
        bench.build(&plan, root).whys()
    };
    assert_eq!(build("1", "echo $REV > /rev"), ["first build of this step", "first build of this step"]);
    assert_eq!(build("2", "echo $REV > /rev"), ["[1/9] RUN echo $REV > /rev changed", "ARG REV changed"]);
    assert_eq!(build("2", "echo x$REV > /rev"), ["[1/9] RUN echo x$REV > /rev changed", "the command changed"]);
}

fn nothing_between(world: &World) {
    let bench = world.bench();
    let build = |commands: &[&str]| {
        let mut plan = bench.plan();
        let root = commands.iter().fold(plan.base, |on, command| plan.run(on, command));
        bench.build(&plan, root)
    };
    let history = |told: &super::world::Told| -> Vec<(String, bool)> {
        let config = bench.config(told.built());
        assert_eq!(config.history.iter().filter(|entry| !entry.empty_layer).count(), config.rootfs.diff_ids.len());
        config.history.into_iter().skip(1).map(|entry| (entry.created_by, entry.empty_layer)).collect()
    };
    let step = |text: &str, empty: bool| (format!("RUN {text}"), empty);
    let first = build(&["touch /a", "touch /b"]);
    assert_eq!(history(&first), [step("touch /a", false), step("touch /b", false)]);
    let second = build(&["touch /a", "true", "touch /b"]);
    // What changed nothing runs; what stands on it is found by content, and twice the same.
    assert_eq!(second.ran(), ["[2/9] RUN true"]);
    for told in [second, build(&["touch /a", "true", "touch /b"])] {
        assert_eq!(history(&told), [step("touch /a", false), step("true", true), step("touch /b", false)]);
        let layers = bench.config(told.built()).rootfs.diff_ids;
        assert_eq!(layers, bench.config(first.built()).rootfs.diff_ids);
    }
    let third = build(&["true", "true", "touch /a", "touch /b"]);
    let all = [step("true", true), step("true", true), step("touch /a", false), step("touch /b", false)];
    assert_eq!(history(&third), all);
}

fn ignored(world: &World) {
    let bench = world.bench();
    let mut plan = bench.plan();
    let made = plan.run(plan.base, "cat /proc/sys/kernel/random/uuid > /a");
    let root = plan.copy(plan.base, made, &["/a"], "/a");
    plan.config.history.remove(1);
    let first = bench.build(&plan, root);
    let mut fresh = bench.plan();
    let meta = graph::Meta { name: "[1/9] RUN".into(), ignore_cache: true, ..graph::Meta::default() };
    let made = fresh.graph.add(graph::Op::Exec(exec("cat /proc/sys/kernel/random/uuid > /a")), vec![fresh.base], meta);
    let root = fresh.copy(fresh.base, made, &["/a"], "/a");
    assert!(matches!(bench.cached(&fresh, root), Cached::Miss { .. }));
    let second = bench.build(&fresh, root);
    assert_eq!(second.ran().len(), 2);
    assert_ne!(second.built().manifest(), first.built().manifest());
    // What ran is kept for those who do not ignore it.
    let mut again = bench.plan();
    let made = again.run(again.base, "cat /proc/sys/kernel/random/uuid > /a");
    let root = again.copy(again.base, made, &["/a"], "/a");
    again.config.history.remove(1);
    assert!(bench.build(&again, root).ran().is_empty());
}

fn shared(world: &World) {
    let bench = world.bench();
    let mut plan = bench.plan();
    let one = plan.run(plan.base, "cat /proc/sys/kernel/random/uuid > /a");
    let copies = |input| FileAction::Copy(graph::Copy { input, ..copy(&["/a"], if input == 1 { "/x" } else { "/y" }) });
    let two = plan.graph.add(
        graph::Op::Exec(exec("cat /proc/sys/kernel/random/uuid > /a")),
        vec![plan.base],
        graph::Meta::default(),
    );
    plan.config.history.pop();
    let root = plan.file(plan.base, vec![one, two], vec![copies(1), copies(2)]);
    let told = bench.build(&plan, root);
    assert_eq!(bench.read(told.built(), "/x"), bench.read(told.built(), "/y"));
}

fn reproducible(world: &World) {
    let build = || {
        let bench = world.bench();
        bench.write("a/x", "x");
        bench.write("a/y", "y");
        let mut plan = bench.plan();
        let copied = plan.copy(plan.base, plan.context, &["a"], "/a/");
        let made = plan.run(copied, "mkdir -p /z/z && ln /a/x /z/x && ln -s x /z/y && rm /a/y && echo hi > /a/n");
        let root = plan.copy(made, plan.context, &["a/x"], "/last");
        let mut request = bench.request(&plan, root);
        request.options.epoch = Some(1_000_000_000);
        let told = bench.run(request.clone());
        let view = bench.view(told.built());
        assert_eq!(view.lookup(b"/z/z", false).unwrap().unwrap().entry().mtime, 1_000_000_000);
        assert!(view.lookup(b"/a/y", false).unwrap().is_none());
        assert!(matches!(builder::cached(&request, &bench.store).unwrap(), Cached::Hit(_)));
        told.built().manifest().unwrap().digest
    };
    let first = build();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(first, build());
}
