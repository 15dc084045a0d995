//! The question for a container's health, and its time.

mod judge;
mod question;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use runtime::ladder::Probe as Machine;
use rustix::event::PollFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::serve::{Waits, Who};
use super::{Stop, Supervisor};
use crate::config::{Health as Asked, OnFailure, STOP_TIMEOUT};
use crate::record::Durability;
use crate::signal::{self, SIGTERM};
use crate::state::{Health as Known, Probe};
use crate::time::Moment;
use crate::{Config, State};
use judge::{STARTING, judge};
use question::{Progress, Question};

use judge::UNHEALTHY;

/// Who asks.
#[derive(Debug, Default)]
pub(super) struct Health {
    asked: Option<Asked>,
    /// When its program started, while it runs.
    started: Option<Instant>,
    /// When it is asked next.
    next: Option<Instant>,
    question: Option<Question>,
    /// Keepers of questions that were given up: waited for when they end, which shows by the descriptor.
    given_up: Vec<(i32, Option<OwnedFd>)>,
}

/// What the questions stand on.
#[derive(Debug)]
pub(super) struct Grounds<'g> {
    pub(super) config: &'g Config,
    pub(super) machine: &'g Machine,
    /// The table of owners of its tree.
    pub(super) owners: PathBuf,
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    /// What it is now, where that is something else than before.
    pub(super) changed: Option<&'static str>,
}

impl Health {
    pub(super) fn new(config: &Config) -> Self {
        Self { asked: config.health.clone().filter(|health| !health.args().is_empty()), ..Self::default() }
    }

    /// The container's program runs.
    pub(super) fn started(&mut self, state: &mut State) {
        if self.asked.is_some() {
            state.health = Some(Known { status: STARTING.to_owned(), ..Known::default() });
            self.begin(Instant::now());
        }
    }

    /// We are another program than the one that started it: what is known stands in its state.
    pub(super) fn resumed(config: &Config, running_for: Duration, given_up: Vec<i32>) -> Self {
        let mut health = Self::new(config);
        given_up.into_iter().for_each(|keeper| health.leave(keeper));
        if health.asked.is_some() {
            let now = Instant::now();
            health.begin(now.checked_sub(running_for).unwrap_or(now));
        }
        health
    }

    fn begin(&mut self, started: Instant) {
        self.started = Some(started);
        self.drop_question();
        self.reap();
        self.plan(Instant::now(), true);
    }

    /// It has ended, or is stopped.
    pub(super) fn ended(&mut self) {
        self.drop_question();
        (self.started, self.next) = (None, None);
    }

    /// It is about to stand still: who is asked cannot answer in time, and that is no failure. It is asked anew later.
    pub(super) fn suspend(&mut self) {
        if self.drop_question() {
            self.plan(Instant::now(), false);
        }
    }

    /// Ends the question that is out. Gives whether there was one.
    fn drop_question(&mut self) -> bool {
        let Some(mut question) = self.question.take() else { return false };
        question.give_up();
        question.given_up().into_iter().for_each(|keeper| self.leave(keeper));
        true
    }

    /// Does not wait for a keeper now.
    fn leave(&mut self, keeper: i32) {
        let pid = Pid::from_raw(keeper);
        self.given_up.push((keeper, pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())));
    }

    /// Keepers that are still to be waited for.
    pub(super) fn given_up(&self) -> Vec<i32> {
        self.given_up.iter().map(|(keeper, _)| *keeper).collect()
    }

    /// Whether an answer is awaited.
    pub(super) fn is_asking(&self) -> bool {
        self.question.is_some()
    }

    /// Whether there is something to do for it.
    fn is_due(&self, now: Instant) -> bool {
        self.question.is_some() || self.next.is_some_and(|next| next <= now)
    }

    /// Sets the time of the next question.
    fn plan(&mut self, now: Instant, starting: bool) {
        let (Some(asked), Some(started)) = (&self.asked, self.started) else { return };
        let in_start = now.saturating_duration_since(started) < Duration::from_nanos(asked.start_period);
        let wait = if in_start && starting { asked.start_interval } else { asked.interval };
        self.next = Some(now + Duration::from_nanos(wait));
    }

    pub(super) fn waits<'w>(&'w self, waits: &mut Waits<'w>) {
        for ended in self.given_up.iter().filter_map(|(_, ended)| ended.as_ref()) {
            waits.fd(Who::GivenUp, ended, PollFlags::IN);
        }
        match &self.question {
            Some(question) => question.waits(waits),
            None => waits.until(self.next),
        }
    }

    /// Something that it waited for is there, or its time has come.
    pub(super) fn tick(&mut self, now: Instant, state: &mut State, grounds: &Grounds<'_>) -> Option<Answered> {
        if self.question.is_none() && self.next.is_some_and(|next| next <= now) {
            return self.ask(state, grounds);
        }
        let question = self.question.as_mut()?;
        let progress = question.advance(now);
        let left = question.given_up();
        left.into_iter().for_each(|keeper| self.leave(keeper));
        match progress {
            Progress::Waiting => None,
            Progress::Answered(probe) => Some(self.answer(probe, state)),
        }
    }

    /// Takes note of the end of keepers that were given up.
    pub(super) fn reap(&mut self) {
        self.given_up.retain(|(keeper, _)| matches!(sys::clone::wait(*keeper, false), Ok(None)));
    }

    fn ask(&mut self, state: &mut State, grounds: &Grounds<'_>) -> Option<Answered> {
        self.reap();
        // One that is frozen cannot answer.
        if state.status != crate::Status::Running {
            self.plan(Instant::now(), false);
            return None;
        }
        let asked = self.asked.as_ref()?;
        match Question::ask(asked, state, grounds) {
            Ok(question) => {
                self.question = Some(question);
                None
            }
            Err(why) => {
                let now = Moment::now();
                Some(self.answer(Probe { start: now, end: now, exit_code: -1, output: why }, state))
            }
        }
    }

    fn answer(&mut self, probe: Probe, state: &mut State) -> Answered {
        self.question = None;
        let (Some(asked), Some(started)) = (&self.asked, self.started) else { return Answered { changed: None } };
        let known = state.health.get_or_insert_with(Known::default);
        let changed = judge(asked, known, probe, started.elapsed());
        let starting = known.status == STARTING;
        self.plan(Instant::now(), starting);
        Answered { changed }
    }
}

impl Supervisor {
    /// Asks, or takes the answer, where it is time.
    pub(super) fn tick_health(&mut self, now: Instant) {
        if !self.health.is_due(now) {
            return;
        }
        let owners = self.tree.owners(&self.containers.store().snapshots());
        let grounds = Grounds { config: &self.config, machine: &self.probe, owners };
        let Some(answered) = self.health.tick(now, &mut self.state, &grounds) else { return };
        // What is lost with the power is asked again after it.
        drop(self.folder.write_state(&self.state, Durability::Fleeting));
        if let Some(status) = answered.changed {
            self.tell_health(status);
        }
    }

    fn tell_health(&mut self, status: &'static str) {
        self.containers.tell(&self.config, &format!("health_status: {status}"));
        if status != UNHEALTHY {
            return;
        }
        match self.health.asked.as_ref().map(|asked| asked.on_failure).unwrap_or_default() {
            OnFailure::None => {}
            OnFailure::Kill => self.kill_now(),
            OnFailure::Stop => self.begin_stop(None, None),
            OnFailure::Restart => self.stop_to_restart(),
        }
    }

    fn stop_to_restart(&mut self) {
        if self.stop.is_some() {
            return;
        }
        self.restarts.force();
        let patience = self.config.life.stop_timeout.unwrap_or(STOP_TIMEOUT.cast_signed());
        self.stop = Some(Stop::new(Instant::now(), patience));
        let own = self.config.life.stop_signal.as_deref().and_then(signal::parse).unwrap_or(SIGTERM);
        self.signal(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keeper_that_was_given_up_is_waited_for_when_it_ends() {
        let child = sys::fork::child(|| 0).unwrap();
        let mut health = Health::default();
        health.leave(child.pid().cast_signed());
        while !health.given_up().is_empty() {
            let mut waits = Waits::default();
            health.waits(&mut waits);
            assert_eq!(waits.wait(), [Who::GivenUp]);
            health.reap();
        }
        assert!(!std::path::Path::new(&format!("/proc/{}", child.pid())).exists());
    }
}
