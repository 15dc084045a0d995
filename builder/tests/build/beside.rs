//! Builds beside builds.

use std::sync::mpsc;

use builder::{Cancel, Event};

use super::world::World;

pub(crate) const CASES: &[crate::Case] = &[("a_step_that_another_build_runs_is_waited_for", waits)];

fn waits(world: &World) {
    let bench = world.bench();
    let mut plan = bench.plan();
    let root = plan.run(plan.base, "sleep 0.3; cat /proc/sys/kernel/random/uuid > /u");
    let mut requests = [bench.request(&plan, root), bench.request(&plan, root)];
    requests[1].tags = vec!["docker.io/library/other:latest".into()];
    let builds: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = requests
            .iter()
            .map(|request| {
                let (sender, receiver) = mpsc::channel();
                let (store, sandbox) = (&bench.store, bench.sandbox());
                scope.spawn(move || {
                    let built = builder::run_in(request, store, Some(sandbox), None, sender, &Cancel::new()).unwrap();
                    (built, receiver.into_iter().collect::<Vec<Event>>())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count =
        |wanted: fn(&Event) -> bool| builds.iter().flat_map(|(_, events)| events).filter(|event| wanted(event)).count();
    assert_eq!(count(|event| matches!(event, Event::Started { .. })), 1);
    assert_eq!(count(|event| matches!(event, Event::Waiting { .. })), 1);
    assert_eq!(builds[0].0.manifest(), builds[1].0.manifest());
}
