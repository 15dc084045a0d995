//! The question for a container's health, and its time.

use std::time::Instant;

use super::serve::Waits;
use crate::{Config, State};

/// Who asks.
#[derive(Debug, Default)]
pub(super) struct Health {}

impl Health {
    pub(super) fn new(_config: &Config) -> Self {
        Self {}
    }

    /// The container's program runs.
    pub(super) fn started(&mut self, _state: &mut State) {}

    /// It has ended.
    pub(super) fn ended(&mut self) {}

    pub(super) fn waits<'w>(&'w self, _waits: &mut Waits<'w>) {}

    /// Something that it waited for is there.
    pub(super) fn ready(&mut self, _number: usize, _state: &mut State) {}

    /// Does what is due.
    pub(super) fn tick(&mut self, _now: Instant, _state: &mut State) {}
}
