//! Blocks through threads, and out in the order in which they went in.
//!
//! Only blocks cross into the threads. Whoever owns this reads the source and writes the sink, so that neither needs to
//! be fit for another thread, and an error of either is the owner's own. Threads start when a second block comes, and
//! are gone when this is.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What is worked on: made from `input` into `output`. Blocks come back, so that memory is taken once.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) input: Vec<u8>,
    pub(crate) output: Vec<u8>,
    /// Where its parts end, for work that treats them apart: in the input, and once it is done, in the output.
    pub(crate) ends: Vec<usize>,
}

/// What happens to a block. Every thread has one of its own.
pub(crate) trait Work: Send + 'static {
    /// Fills `output` from `input`.
    fn work(&mut self, block: &mut Block) -> io::Result<()>;
}

type Answer = io::Result<Block>;
type Job = (Block, SyncSender<Answer>);

/// The threads, and what is on its way.
#[derive(Debug)]
pub(crate) struct Ordered<W> {
    make: fn(i32) -> W,
    level: i32,
    threads: usize,
    running: Option<Running>,
    /// Oldest first.
    waiting: VecDeque<Receiver<Answer>>,
    spare: Vec<Block>,
}

#[derive(Debug)]
struct Running {
    jobs: SyncSender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl<W: Work> Ordered<W> {
    /// Up to `threads` threads, each with its own `make(level)`.
    pub(crate) fn new(threads: usize, level: i32, make: fn(i32) -> W) -> Ordered<W> {
        Ordered { make, level, threads, running: None, waiting: VecDeque::new(), spare: Vec::new() }
    }

    /// Whether no block was ever given.
    pub(crate) fn is_unused(&self) -> bool {
        self.running.is_none()
    }

    /// Whether each thread has a block: more would be memory and no more speed, as taking one and giving the next is
    /// quick beside the work. (Of one thread, one block is worked on and one lies ready.)
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= self.threads.max(2)
    }

    /// An empty block, used before if there is one.
    pub(crate) fn empty(&mut self) -> Block {
        let mut block = self.spare.pop().unwrap_or_default();
        block.input.clear();
        block.output.clear();
        block.ends.clear();
        block
    }

    /// Takes a block back for [`Ordered::empty`].
    pub(crate) fn reuse(&mut self, block: Block) {
        self.spare.push(block);
    }

    /// Gives a block to the threads.
    pub(crate) fn give(&mut self, block: Block) -> io::Result<()> {
        let (answer, incoming) = sync_channel(1);
        let running = match &self.running {
            Some(running) => running,
            None => self.running.insert(start(self.threads, self.level, self.make)?),
        };
        running.jobs.send((block, answer)).map_err(|_| stopped())?;
        self.waiting.push_back(incoming);
        Ok(())
    }

    /// The oldest block, done; waits for it.
    pub(crate) fn take(&mut self) -> Option<io::Result<Block>> {
        let oldest = self.waiting.pop_front()?;
        Some(oldest.recv().unwrap_or_else(|_| Err(stopped())))
    }

    /// Forgets what is on its way.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Does a block here and now: for streams of one block, which are not worth a thread.
    pub(crate) fn here(&self, mut block: Block) -> io::Result<Block> {
        (self.make)(self.level).work(&mut block).map(|()| block)
    }
}

impl<W> Drop for Ordered<W> {
    fn drop(&mut self) {
        // Those that wait for an answer go first: nobody must be left waiting to give one.
        self.waiting.clear();
        let Some(Running { jobs, threads }) = self.running.take() else { return };
        drop(jobs);
        for thread in threads {
            // A panic in one was told to whoever waited for its block.
            let _ = thread.join();
        }
    }
}

fn start<W: Work>(threads: usize, level: i32, make: fn(i32) -> W) -> io::Result<Running> {
    let (jobs, incoming) = sync_channel::<Job>(threads + 1);
    let incoming = Arc::new(Mutex::new(incoming));
    let mut handles = Vec::with_capacity(threads);
    for _ in 0..threads {
        let incoming = Arc::clone(&incoming);
        let thread = std::thread::Builder::new().name("codec".into());
        let spawned = thread.spawn(move || {
            let mut work = make(level);
            while let Some((mut block, answer)) = next(&incoming) {
                let done = work.work(&mut block).map(|()| block);
                // Nobody waits any more when the stream was given up.
                let _ = answer.send(done);
            }
        });
        match spawned {
            Ok(handle) => handles.push(handle),
            // Fewer do too.
            Err(error) if handles.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(Running { jobs, threads: handles })
}

fn next(incoming: &Mutex<Receiver<Job>>) -> Option<Job> {
    incoming.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn stopped() -> io::Error {
    io::Error::other("a coding thread stopped")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    struct Slowly;

    impl Work for Slowly {
        fn work(&mut self, block: &mut Block) -> io::Result<()> {
            match block.input[0] {
                7 => return Err(io::Error::other("seven")),
                9 => panic!("nine"),
                // The first ones take longest.
                number => std::thread::sleep(std::time::Duration::from_millis(20 - u64::from(number.min(19)))),
            }
            block.output.extend_from_slice(&block.input);
            Ok(())
        }
    }

    fn block(number: u8) -> Block {
        Block { input: vec![number], ..Block::default() }
    }

    #[test]
    fn blocks_come_out_in_order() {
        let mut ordered = Ordered::new(4, 0, |_| Slowly);
        for number in 10..18 {
            ordered.give(block(number)).unwrap();
        }
        for number in 10..18 {
            assert_eq!(ordered.take().unwrap().unwrap().output, [number]);
        }
        assert!(ordered.take().is_none());
    }

    #[test]
    fn errors_and_panics_are_told_at_their_place() {
        let mut ordered = Ordered::new(1, 0, |_| Slowly);
        for number in [10, 7, 11, 9] {
            ordered.give(block(number)).unwrap();
        }
        assert_eq!(ordered.take().unwrap().unwrap().output, [10]);
        assert_eq!(ordered.take().unwrap().unwrap_err().to_string(), "seven");
        assert!(ordered.take().unwrap().is_ok());
        assert!(ordered.take().unwrap().unwrap_err().to_string().contains("stopped"));
    }

    #[test]
    fn dropping_it_leaves_no_thread() {
        static ALIVE: AtomicUsize = AtomicUsize::new(0);
        struct Counted;
        impl Drop for Counted {
            fn drop(&mut self) {
                ALIVE.fetch_sub(1, Relaxed);
            }
        }
        impl Work for Counted {
            fn work(&mut self, _: &mut Block) -> io::Result<()> {
                std::thread::sleep(std::time::Duration::from_millis(5));
                Ok(())
            }
        }
        let mut ordered = Ordered::new(3, 0, |_| {
            ALIVE.fetch_add(1, Relaxed);
            Counted
        });
        for number in 0..4 {
            ordered.give(block(number)).unwrap();
        }
        assert!(ordered.take().unwrap().is_ok() && ALIVE.load(Relaxed) > 0);
        drop(ordered);
        assert_eq!(ALIVE.load(Relaxed), 0);
    }
}
