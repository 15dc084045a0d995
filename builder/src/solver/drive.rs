//! Carries the solver's commands out: the one asynchronous place. Each command that takes time gets a thread of its own.

use std::collections::VecDeque;
use std::thread::Scope;

use tokio::sync::mpsc;

use super::state::{Command, Event, Outcome, State, V};
use crate::Cancel;

/// Someone who can do what the solver asks for.
pub(crate) trait Executor: Sync {
    /// Looks for a result by definition; quick.
    fn find(&self, v: V) -> Event;
    /// Looks for a result by content.
    fn match_content(&self, v: V) -> Event;
    /// Runs a vertex.
    fn run(&self, v: V) -> Event;
    /// Ends what runs.
    fn stop(&self);
    /// Hears that a vertex gets no result.
    fn give_up(&self, v: V);
}

/// Drives a build to its end. `cancel` ends it early.
pub(crate) fn drive(state: State, executor: &impl Executor, cancel: &Cancel) -> std::io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    std::thread::scope(|scope| Ok(runtime.block_on(steps(state, executor, cancel, scope))))
}

async fn steps<'scope, 'env, E: Executor>(
    mut state: State,
    executor: &'scope E,
    cancel: &'scope Cancel,
    scope: &'scope Scope<'scope, 'env>,
) -> Outcome {
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let canceller = sender.clone();
    // Nobody listens after the end.
    let _guard = cancel.on_cancel(move || {
        let _ = canceller.send(Event::Cancel);
    });
    let mut queue = VecDeque::from([Event::Start]);
    loop {
        let event = match queue.pop_front() {
            Some(event) => event,
            // We hold a sender ourselves, so there is always another event.
            None => inbox.recv().await.unwrap_or(Event::Cancel),
        };
        for command in state.step(event) {
            match command {
                Command::Find(v) => queue.push_back(executor.find(v)),
                Command::Match(v) => spawn(scope, sender.clone(), v, move || executor.match_content(v)),
                Command::Run(v) => spawn(scope, sender.clone(), v, move || executor.run(v)),
                Command::Stop => executor.stop(),
                Command::GiveUp(v) => executor.give_up(v),
                Command::End(outcome) => return outcome,
            }
        }
    }
}

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    sender: mpsc::UnboundedSender<Event>,
    v: V,
    work: impl FnOnce() -> Event + Send + 'scope,
) {
    let answer = Answer { sender, event: Event::Failed(v) };
    let name = format!("vertex-{v}");
    let started = std::thread::Builder::new().name(name).spawn_scoped(scope, move || {
        let mut answer = answer;
        answer.event = work();
    });
    // A thread that could not start dropped its answer, which said that the vertex failed.
    drop(started);
}

/// Sends its event when dropped, so that a panic is an answer too.
struct Answer {
    sender: mpsc::UnboundedSender<Event>,
    event: Event,
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Nobody listens after the end.
        let _ = self.sender.send(self.event);
    }
}
