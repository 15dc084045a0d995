//! Stopping a build from outside: a flag, and hooks that end what runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Hook = Box<dyn Fn() + Send>;

/// A build's off switch. Clones share it.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    flag: AtomicBool,
    next: AtomicU64,
    hooks: Mutex<Vec<(u64, Hook)>>,
}

impl Cancel {
    /// A switch that is not thrown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Throws it: kills the build's processes and starts nothing more. Throwing it again does nothing.
    pub fn cancel(&self) {
        let hooks = self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.0.flag.swap(true, Ordering::SeqCst) {
            for (_, hook) in hooks.iter() {
                hook();
            }
        }
    }

    /// Whether it was thrown.
    pub fn is_cancelled(&self) -> bool {
        self.0.flag.load(Ordering::SeqCst)
    }

    /// Calls `hook` when the switch is thrown (at once if it was), until the guard is dropped.
    pub fn on_cancel(&self, hook: impl Fn() + Send + 'static) -> CancelGuard {
        let mut hooks = self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        if self.is_cancelled() {
            hook();
        }
        hooks.push((id, Box::new(hook)));
        CancelGuard { cancel: self.clone(), id }
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

/// Takes its hook back when dropped.
#[derive(Debug)]
pub struct CancelGuard {
    cancel: Cancel,
    id: u64,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        let mut hooks = self.cancel.0.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.retain(|(id, _)| *id != self.id);
    }
}
