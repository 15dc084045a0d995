//! What the service manager hears.

use super::serve::Waits;
use crate::Config;

/// Who tells it.
#[derive(Debug, Default)]
pub(super) struct Notify {}

impl Notify {
    pub(super) fn new(_config: &Config) -> Self {
        Self {}
    }

    pub(super) fn waits<'w>(&'w self, _waits: &mut Waits<'w>) {}

    /// Something that it waited for is there.
    pub(super) fn ready(&mut self, _number: usize) {}
}
