//! One at a time, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Locks = Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>;

/// Locks by name; a name that nobody holds or waits for costs nothing.
#[derive(Debug, Default)]
pub(super) struct Turns {
    locks: Locks,
}

/// Somebody's turn, until it is dropped.
pub(super) struct Turn {
    locks: Locks,
    name: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(super) async fn take(&self, name: &str) -> Turn {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(name.to_owned()).or_default())
        };
        // Made first, so that whoever stops waiting tidies up, too.
        let mut turn = Turn { locks: Arc::clone(&self.locks), name: name.to_owned(), guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the map itself knows it: nobody holds it or waits.
        if locks.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a").await;
        let other = turns.take("b").await;
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { drop(turns.take("a").await) }
        });
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(20), turns.take("a")).await;
        assert!(given_up.is_err() && !waiting.is_finished());
        drop((first, other));
        waiting.await.unwrap();
        assert!(turns.locks.lock().unwrap().is_empty());
    }
}
