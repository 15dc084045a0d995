//! One list of things to do, and a few threads that do them.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Result;

/// Results that may wait to be told.
const WAITING: usize = 64;
/// How often the caller hears of nothing, so that it can show how far the work is.
const TICK: Duration = Duration::from_millis(200);

/// Does `work` with every item, on so many threads. `each` takes the results in any order, on the caller's thread, and `None` now
/// and then; its failure ends everything soon.
///
/// # Errors
/// What `each` fails with.
pub(super) fn run<T: Send, R: Send>(
    threads: usize,
    items: &mut (dyn Iterator<Item = T> + Send),
    work: &(dyn Fn(T) -> R + Sync),
    each: &mut dyn FnMut(Option<R>) -> Result<()>,
) -> Result<()> {
    let items = Mutex::new(items);
    let (sender, results) = sync_channel(WAITING);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (sender, items) = (sender.clone(), &items);
            scope.spawn(move || {
                loop {
                    let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(item) = next else { return };
                    // Nobody listens any more: the work has ended.
                    if sender.send(work(item)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        // Owned here: returning drops it, which ends the threads.
        let results = results;
        loop {
            match results.recv_timeout(TICK) {
                Ok(result) => each(Some(result))?,
                Err(RecvTimeoutError::Timeout) => each(None)?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    })
}

/// Threads for work that hashes: one a processor.
pub(super) fn processors() -> usize {
    /// More than this wait for the disk and not for processors.
    const MOST: usize = 8;
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST)
}
