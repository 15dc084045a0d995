//! The solver's state: pure, one owner, no lock. Events go in, commands come out.
//!
//! A vertex is looked for by its definition only when something needs it, from the root down, so that a hit hides all that is
//! below it. Where that misses, its inputs are needed; when they are there it is looked for by content, and runs when that
//! misses too.
//!
//! ```text
//! Idle ─want→ Finding ─Found→ Done
//!                │ Missing
//!                ▼
//!             Waiting(n) ─inputs done→ Matching ─Found→ Done
//!                                         │ Missing
//!                                         ▼
//!                                       Ready ─slot→ Running ─Finished→ Done
//! ```

use super::schedule::Ready;

/// A vertex, by its place in topological order.
pub(crate) type V = usize;

/// Something happened outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The build begins.
    Start,
    /// The result of a vertex was found.
    Found(V),
    /// It was not.
    Missing(V),
    /// A vertex ran.
    Finished(V),
    /// A vertex could not be looked for, or failed when it ran.
    Failed(V),
    /// A running vertex was stopped.
    Stopped(V),
    /// Someone wants the build to end.
    Cancel,
}

/// Something to do outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Look for a result by definition: answer `Found`, `Missing` or `Failed`.
    Find(V),
    /// Look for it by content; every input is done. Answer likewise.
    Match(V),
    /// Run it: answer `Finished`, `Failed` or `Stopped`.
    Run(V),
    /// End what runs, soon. Comes once at most.
    Stop,
    /// A vertex that was needed will not get a result.
    GiveUp(V),
    /// All is answered. The last command.
    End(Outcome),
}

/// How a build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every root has a result.
    Built,
    /// This vertex failed first.
    Failed(V),
    /// It was cancelled.
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Finding,
    Waiting(usize),
    Matching,
    Ready,
    Running,
    Done,
    Lost,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    inputs: Vec<Vec<V>>,
    users: Vec<Vec<V>>,
    phases: Vec<Phase>,
    roots: Vec<V>,
    ready: Ready,
    slots: usize,
    /// Commands that still owe an answer.
    owed: usize,
    ending: Option<Outcome>,
    ended: bool,
}

impl State {
    /// A build of `roots`; `inputs[v]` are smaller than `v`. `jobs` vertices run side by side at most.
    pub(crate) fn new(mut inputs: Vec<Vec<V>>, roots: &[V], jobs: usize) -> Self {
        let mut users = vec![Vec::new(); inputs.len()];
        for (v, list) in inputs.iter_mut().enumerate() {
            list.sort_unstable();
            list.dedup();
            for &input in list.iter() {
                assert!(input < v, "an input comes before its user");
                users[input].push(v);
            }
        }
        let phases = vec![Phase::Idle; inputs.len()];
        let ready = Ready::new(&inputs);
        Self {
            inputs,
            users,
            phases,
            roots: roots.to_vec(),
            ready,
            slots: jobs.max(1),
            owed: 0,
            ending: None,
            ended: false,
        }
    }

    /// Takes one event, and says what to do.
    pub(crate) fn step(&mut self, event: Event) -> Vec<Command> {
        let mut out = Vec::new();
        match event {
            Event::Start => {
                for root in self.roots.clone() {
                    self.want(root, &mut out);
                }
            }
            Event::Found(v) => {
                self.answered(v, &[Phase::Finding, Phase::Matching]);
                self.done(v, &mut out);
            }
            Event::Missing(v) => self.missing(v, &mut out),
            Event::Finished(v) => {
                self.free(v);
                self.done(v, &mut out);
            }
            Event::Failed(v) => {
                self.free(v);
                self.phases[v] = Phase::Lost;
                self.stop(Outcome::Failed(v), &mut out);
            }
            Event::Stopped(v) => {
                self.free(v);
                self.lose(v, &mut out);
                // Nothing stops a vertex but us; if something did, the build cannot go on.
                self.stop(Outcome::Cancelled, &mut out);
            }
            Event::Cancel => self.stop(Outcome::Cancelled, &mut out),
        }
        self.fill(&mut out);
        self.end(&mut out);
        out
    }

    fn answered(&mut self, v: V, from: &[Phase]) -> Phase {
        let phase = self.phases[v];
        assert!(from.contains(&phase), "vertex {v} answers in {phase:?}");
        self.owed -= 1;
        phase
    }

    fn free(&mut self, v: V) {
        if self.answered(v, &[Phase::Finding, Phase::Matching, Phase::Running]) == Phase::Running {
            self.slots += 1;
        }
    }

    fn want(&mut self, v: V, out: &mut Vec<Command>) {
        if self.phases[v] == Phase::Idle && self.ending.is_none() {
            self.phases[v] = Phase::Finding;
            self.owed += 1;
            out.push(Command::Find(v));
        }
    }

    fn missing(&mut self, v: V, out: &mut Vec<Command>) {
        let from = self.answered(v, &[Phase::Finding, Phase::Matching]);
        if self.ending.is_some() {
            self.lose(v, out);
        } else if from == Phase::Finding {
            let inputs = self.inputs[v].clone();
            let open = inputs.iter().filter(|&&input| self.phases[input] != Phase::Done).count();
            self.phases[v] = Phase::Waiting(open);
            if open == 0 {
                self.look(v, out);
            }
            for input in inputs {
                self.want(input, out);
            }
        } else {
            self.phases[v] = Phase::Ready;
            self.ready.push(v);
        }
    }

    fn look(&mut self, v: V, out: &mut Vec<Command>) {
        self.phases[v] = Phase::Matching;
        self.owed += 1;
        out.push(Command::Match(v));
    }

    fn done(&mut self, v: V, out: &mut Vec<Command>) {
        self.phases[v] = Phase::Done;
        for user in self.users[v].clone() {
            if let Phase::Waiting(open) = self.phases[user] {
                self.phases[user] = Phase::Waiting(open - 1);
                if open == 1 && self.ending.is_none() {
                    self.look(user, out);
                }
            }
        }
    }

    fn lose(&mut self, v: V, out: &mut Vec<Command>) {
        self.phases[v] = Phase::Lost;
        out.push(Command::GiveUp(v));
    }

    fn is_built(&self) -> bool {
        self.roots.iter().all(|root| self.phases[*root] == Phase::Done)
    }

    fn stop(&mut self, outcome: Outcome, out: &mut Vec<Command>) {
        if self.ending.is_some() || self.is_built() {
            return;
        }
        self.ending = Some(outcome);
        self.ready.drain();
        for v in 0..self.phases.len() {
            if matches!(self.phases[v], Phase::Waiting(_) | Phase::Ready) {
                self.lose(v, out);
            }
        }
        out.push(Command::Stop);
    }

    fn fill(&mut self, out: &mut Vec<Command>) {
        while self.slots > 0 && self.ending.is_none() {
            let Some(v) = self.ready.pop() else { break };
            self.phases[v] = Phase::Running;
            self.slots -= 1;
            self.owed += 1;
            out.push(Command::Run(v));
        }
    }

    fn end(&mut self, out: &mut Vec<Command>) {
        if self.owed > 0 || self.ended {
            return;
        }
        let built = self.is_built().then_some(Outcome::Built);
        if let Some(outcome) = built.or(self.ending) {
            self.ended = true;
            out.push(Command::End(outcome));
        }
    }
}

#[cfg(test)]
mod tests;
