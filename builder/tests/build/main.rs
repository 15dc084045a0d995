//! Builds with busybox, end to end. A harness of its own, since a process must have one thread when it forks its spawner.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "it is a test, with a harness of its own")]

mod beside;
mod cache;
mod collect;
mod files;
mod pulled;
mod runs;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

/// A case's name, and what it does.
pub(crate) type Case = (&'static str, fn(&World));

/// Prints what the usual harness prints, since people and tools read that.
fn main() -> std::process::ExitCode {
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    let Some(world) = World::new() else { return std::process::ExitCode::SUCCESS };
    let cases: Vec<Case> =
        [files::CASES, cache::CASES, runs::CASES, collect::CASES, beside::CASES, pulled::CASES].concat();
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, case) in cases.iter().filter(|(name, _)| name.contains(&filter)) {
        let ok = catch_unwind(AssertUnwindSafe(|| case(&world))).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if ok { passed += 1 } else { failed.push(*name) }
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; 0 filtered out", failed.len());
    std::process::ExitCode::from(u8::from(!failed.is_empty()))
}
