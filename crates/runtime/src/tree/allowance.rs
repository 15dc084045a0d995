//! Who is asked before bytes of files are written.

use std::io;
use std::sync::Arc;

/// Asked with a number of bytes that are about to be written; what it refuses ends the work with its words.
#[derive(Clone, Default)]
pub struct Allowance(Option<Arc<Ask>>);

type Ask = dyn Fn(u64) -> io::Result<()> + Send + Sync;

impl Allowance {
    /// One that asks. Without, everything may be written.
    pub fn new(ask: impl Fn(u64) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(ask)))
    }

    pub(super) fn ask(&self, bytes: usize) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |ask| ask(bytes as u64))
    }
}

impl std::fmt::Debug for Allowance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Allowance").field(&self.0.is_some()).finish()
    }
}
