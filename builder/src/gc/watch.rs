//! What others write into the store, measured while they do: a RUN's changes and its cache mounts, what `git` fetches.
//!
//! Nobody asks a container's process whether it may write. So the free space of the file system is looked at every few
//! milliseconds, and where it fell, the folders that may grow are measured, and room is asked for what they grew by. Without
//! a limit there is no watch at all.

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use store::{Meter, Room, RoomError, Store};
use sys::Root;

/// Between two looks, when there is little room, and when there is much.
const OFTEN: Duration = Duration::from_millis(5);
const SELDOM: Duration = Duration::from_millis(50);
/// Much: more than any disk takes in [`SELDOM`].
const MUCH: u64 = 512 << 20;
/// So much less free space is worth a measurement.
const STEP: u64 = 1 << 20;
/// Others may free what the watched write: folders are measured so often in any case.
const AT_LEAST: Duration = Duration::from_secs(1);

/// A watch over folders that grow. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    failed: Arc<Mutex<Option<RoomError>>>,
}

struct Watched {
    room: Arc<Room>,
    folders: Vec<PathBuf>,
    /// Bytes that room was asked for.
    charged: u64,
    failed: Arc<Mutex<Option<RoomError>>>,
}

/// Starts to watch; `stop` is called, once, when there is no more room: it must make whoever writes stop. What is in
/// `new` counts from the first byte on, what is in `old` from now on. `None`: the store has no limit.
///
/// # Errors
/// When the limit cannot be read.
pub fn watch(
    store: &Store,
    new: &[PathBuf],
    old: &[PathBuf],
    stop: impl Fn() + Send + 'static,
) -> Result<Option<Watch>, RoomError> {
    if store.room().limit()?.is_none() {
        return Ok(None);
    }
    let failed = Arc::new(Mutex::new(None));
    let folders: Vec<PathBuf> = new.iter().chain(old).cloned().collect();
    let mut watched =
        Watched { room: Arc::clone(store.room()), folders, charged: measure(old), failed: Arc::clone(&failed) };
    let (end, ended) = channel();
    let place = store.root().to_path_buf();
    let thread = std::thread::spawn(move || {
        let free = || rustix::fs::statvfs(&place).map_or(0, |stat| stat.f_bfree * stat.f_frsize);
        let (mut last, mut measured) = (free(), Instant::now());
        loop {
            let left = watched.room.left().ok().flatten().unwrap_or(0);
            let over = match ended.recv_timeout(if left > MUCH { SELDOM } else { OFTEN }) {
                Err(RecvTimeoutError::Timeout) => {
                    let now = free();
                    if now.saturating_add(STEP) > last && measured.elapsed() < AT_LEAST {
                        continue;
                    }
                    (last, measured) = (now, Instant::now());
                    !watched.charge()
                }
                // The last look decides whether what was written may stay.
                Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                    watched.charge();
                    return;
                }
            };
            if over {
                stop();
                return;
            }
        }
    });
    Ok(Some(Watch { end: Some(end), thread: Some(thread), failed }))
}

fn measure(folders: &[PathBuf]) -> u64 {
    let mut meter = Meter::new();
    folders.iter().filter_map(|folder| Root::open(folder).ok()).map(|root| meter.measure_in(&root)).sum()
}

impl Watched {
    /// Asks room for what was written since the last time. `false`: there is none.
    fn charge(&mut self) -> bool {
        let size = measure(&self.folders);
        let grown = size.saturating_sub(self.charged);
        if grown == 0 {
            return true;
        }
        match self.room.take_written(grown, 0) {
            Ok(()) => {
                self.charged = size;
                true
            }
            Err(error) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                false
            }
        }
    }
}

impl Watch {
    /// Ends it, with a last look.
    ///
    /// # Errors
    /// [`RoomError::Full`] when what was written is more than the limit leaves.
    pub fn finish(mut self) -> Result<(), RoomError> {
        self.join();
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn join(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            drop(thread.join());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn store(limit: Option<u64>) -> (tempfile::TempDir, Store, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        store.room().set_limit(limit);
        let folder = store.layout().snapshot("growing");
        std::fs::create_dir_all(&folder).unwrap();
        (dir, store, folder)
    }

    #[test]
    fn who_outgrows_the_limit_is_stopped() {
        let (_dir, store, folder) = store(Some(64 << 20));
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopped);
        let watch = watch(&store, std::slice::from_ref(&folder), &[], move || flag.store(true, Ordering::SeqCst))
            .unwrap()
            .unwrap();
        for number in 0..1000 {
            std::fs::write(folder.join(number.to_string()), vec![1; 1 << 20]).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            if stopped.load(Ordering::SeqCst) {
                break;
            }
        }
        assert!(stopped.load(Ordering::SeqCst));
        let said = watch.finish().unwrap_err().to_string();
        assert!(said.contains("limit of 67108864 bytes"), "{said}");
    }

    #[test]
    fn what_fits_is_charged_and_without_a_limit_nobody_watches() {
        let (_dir, store, folder) = store(Some(64 << 20));
        let watch = watch(&store, std::slice::from_ref(&folder), &[], || panic!("there is room")).unwrap().unwrap();
        let before = store.room().left().unwrap().unwrap();
        std::fs::write(folder.join("file"), vec![1; 20 << 20]).unwrap();
        watch.finish().unwrap();
        assert!(store.room().left().unwrap().unwrap() + (20 << 20) <= before);
        let (_dir, store, folder) = self::store(None);
        assert!(super::watch(&store, &[folder], &[], || {}).unwrap().is_none());
    }
}
