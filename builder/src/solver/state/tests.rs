//! A seeded fake executor: it shuffles answers, fails some, and cancels; whatever it does, the solver keeps its promises.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What a fake build is made of.
#[derive(Clone, Debug)]
struct World {
    inputs: Vec<Vec<V>>,
    /// The last one, and others.
    roots: Vec<V>,
    jobs: usize,
    /// Found by definition.
    known: BTreeSet<V>,
    /// Found by content.
    same: BTreeSet<V>,
    failing: BTreeSet<V>,
    cancel_after: Option<usize>,
    seed: u64,
}

fn world() -> impl Strategy<Value = World> {
    (1usize..24).prop_flat_map(|n| {
        let inputs =
            (0..n).map(|v| proptest::collection::vec(0..v.max(1), 0..if v == 0 { 1 } else { 4 })).collect::<Vec<_>>();
        let set = |max: usize| proptest::collection::btree_set(0..n, 0..max.max(1));
        (
            inputs,
            1usize..5,
            set(n / 3),
            set(n / 3),
            set(n / 6),
            proptest::collection::vec(0..n, 0..3),
            proptest::option::weighted(0.2, 0usize..40),
            any::<u64>(),
        )
            .prop_map(|(inputs, jobs, known, same, failing, more, cancel_after, seed)| World {
                roots: more.into_iter().chain([inputs.len() - 1]).collect(),
                inputs,
                jobs,
                known,
                same,
                failing,
                cancel_after,
                seed,
            })
    })
}

/// xorshift: the shuffle must depend on the seed alone.
fn next(seed: &mut u64) -> usize {
    *seed |= 1;
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    (*seed >> 11) as usize
}

#[derive(Debug, Default)]
struct Trace {
    outcome: Option<Outcome>,
    /// A stand-in for keys: made from the inputs' values when a vertex gets its result.
    values: BTreeMap<V, u64>,
    ran: BTreeSet<V>,
    stops: usize,
}

fn value(world: &World, values: &BTreeMap<V, u64>, v: V) -> u64 {
    let mut list = world.inputs[v].clone();
    list.sort_unstable();
    list.dedup();
    list.iter().fold(v as u64 + 1, |hash, input| {
        (hash ^ values.get(input).copied().unwrap_or(*input as u64)).wrapping_mul(0x100_0000_01b3).rotate_left(5)
    })
}

fn play(world: &World, mut seed: u64) -> Trace {
    let mut state = State::new(world.inputs.clone(), &world.roots, world.jobs);
    let mut open: Vec<Command> = Vec::new();
    let (mut trace, mut found, mut running, mut steps) = (Trace::default(), BTreeSet::new(), 0usize, 0usize);
    let mut stopping = false;
    let mut event = Event::Start;
    loop {
        for command in state.step(event) {
            assert_eq!(trace.outcome, None, "nothing comes after the end");
            match command {
                Command::Find(v) => assert!(found.insert(v), "{v} is looked for once"),
                Command::Match(v) => {
                    assert!(world.inputs[v].iter().all(|input| trace.values.contains_key(input)), "inputs come first");
                }
                Command::Run(v) => {
                    assert!(trace.ran.insert(v), "{v} runs once");
                    assert!(!stopping, "nothing starts after a stop");
                    running += 1;
                    assert!(running <= world.jobs, "jobs bound what runs");
                }
                Command::Stop => {
                    stopping = true;
                    trace.stops += 1;
                }
                Command::GiveUp(v) => assert!(!trace.values.contains_key(&v)),
                Command::End(outcome) => {
                    assert!(open.is_empty(), "all is answered at the end");
                    trace.outcome = Some(outcome);
                }
            }
            if matches!(command, Command::Find(_) | Command::Match(_) | Command::Run(_)) {
                open.push(command);
            }
        }
        if trace.outcome.is_some() {
            return trace;
        }
        assert!(!open.is_empty(), "no deadlock");
        steps += 1;
        if world.cancel_after == Some(steps) {
            event = Event::Cancel;
            continue;
        }
        let command = open.swap_remove(next(&mut seed) % open.len());
        event = answer(world, command, stopping, &mut seed);
        if let Command::Run(_) = command {
            running -= 1;
        }
        if let Event::Found(v) | Event::Finished(v) = event {
            let by_definition = matches!(command, Command::Find(_));
            let result = if by_definition { v as u64 } else { value(world, &trace.values, v) };
            trace.values.insert(v, result);
        }
    }
}

fn answer(world: &World, command: Command, stopping: bool, seed: &mut u64) -> Event {
    match command {
        Command::Find(v) if world.known.contains(&v) => Event::Found(v),
        Command::Match(v) if world.same.contains(&v) => Event::Found(v),
        Command::Find(v) | Command::Match(v) => Event::Missing(v),
        // A stopped process may still have finished just before.
        Command::Run(v) if stopping && next(seed).is_multiple_of(2) => Event::Stopped(v),
        Command::Run(v) if world.failing.contains(&v) => Event::Failed(v),
        Command::Run(v) => Event::Finished(v),
        other => unreachable!("{other:?} owes no answer"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn promises_hold_in_any_order(world in world()) {
        let one = play(&world, world.seed);
        let two = play(&world, world.seed.rotate_left(17) ^ 0x9e37_79b9);
        prop_assert!(one.stops <= 1);
        let calm = world.cancel_after.is_none();
        match one.outcome {
            Some(Outcome::Built) => prop_assert!(world.roots.iter().all(|root| one.values.contains_key(root))),
            Some(Outcome::Failed(v)) => prop_assert!(world.failing.contains(&v) && one.ran.contains(&v)),
            Some(Outcome::Cancelled) => prop_assert!(!calm),
            None => prop_assert!(false),
        }
        if calm && one.outcome == Some(Outcome::Built) {
            // The same work, the same keys, whatever the order.
            prop_assert_eq!(two.outcome, Some(Outcome::Built));
            prop_assert_eq!(&one.ran, &two.ran);
            prop_assert_eq!(&one.values, &two.values);
        }
    }
}

#[test]
fn a_root_that_is_found_hides_the_rest() {
    let mut state = State::new(vec![vec![], vec![0], vec![1]], &[2], 4);
    assert_eq!(state.step(Event::Start), [Command::Find(2)]);
    assert_eq!(state.step(Event::Found(2)), [Command::End(Outcome::Built)]);
}

#[test]
fn independent_vertices_run_side_by_side_up_to_jobs() {
    let mut state = State::new(vec![vec![], vec![], vec![], vec![0, 1, 2]], &[3], 2);
    state.step(Event::Start);
    state.step(Event::Missing(3));
    let mut runs = Vec::new();
    for v in 0..3 {
        assert_eq!(state.step(Event::Missing(v)), [Command::Match(v)]);
        runs.extend(state.step(Event::Missing(v)));
    }
    assert_eq!(runs, [Command::Run(0), Command::Run(1)]);
    assert_eq!(state.step(Event::Finished(0)), [Command::Run(2)]);
}

#[test]
fn a_failure_stops_the_rest_and_ends_when_all_is_answered() {
    let mut state = State::new(vec![vec![], vec![], vec![0, 1]], &[2], 2);
    state.step(Event::Start);
    state.step(Event::Missing(2));
    for v in 0..2 {
        state.step(Event::Missing(v));
        state.step(Event::Missing(v));
    }
    assert_eq!(state.step(Event::Failed(0)), [Command::GiveUp(2), Command::Stop]);
    assert_eq!(state.step(Event::Stopped(1)), [Command::GiveUp(1), Command::End(Outcome::Failed(0))]);
}

#[test]
fn several_roots_are_one_build() {
    // 1 and 2 stand on 0; both are wanted, and 0 runs once.
    let mut state = State::new(vec![vec![], vec![0], vec![0]], &[1, 2], 4);
    assert_eq!(state.step(Event::Start), [Command::Find(1), Command::Find(2)]);
    assert_eq!(state.step(Event::Found(2)), []);
    assert_eq!(state.step(Event::Missing(1)), [Command::Find(0)]);
    assert_eq!(state.step(Event::Found(0)), [Command::Match(1)]);
    assert_eq!(state.step(Event::Missing(1)), [Command::Run(1)]);
    assert_eq!(state.step(Event::Finished(1)), [Command::End(Outcome::Built)]);
}
