//! What moves between a registry and this machine, shown: a bar a layer on a terminal, lines elsewhere, JSON for machines.
//!
//! ```text
//! pulling docker.io/library/app:latest
//! 3f29a1c07d54: resumed at 12MB
//! 3f29a1c07d54: 45% of 96.2MB, 38MB/s, 1s left
//! 3f29a1c07d54: pulled 96.2MB in 1.9s
//! pulled docker.io/library/app:latest: 84.2MB in 2.1s
//! ```

mod board;
mod plain;
mod tty;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use builder::transfer::{Event, Sink};

use super::progress::Mode;

/// How often a live display moves without an event.
const TICK: Duration = Duration::from_millis(100);

/// How a transfer shows itself; a verb flattens it into its own arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProgressArgs {
    /// How to show progress
    #[arg(
        long,
        value_name = "MODE",
        default_value = "auto",
        hide_default_value = true,
        env = "BUILDKIT_PROGRESS",
        hide_env = true
    )]
    progress: Mode,
    /// Print nothing but the result
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl ProgressArgs {
    /// The display that is wanted.
    pub(crate) fn mode(&self) -> Mode {
        if self.quiet { Mode::Quiet } else { self.progress.settle() }
    }
}

/// The display of one or more transfers. It has a thread of its own, so it is made only once namespaces are entered.
pub(crate) struct Progress {
    sender: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

/// What goes to the display's thread. Its end is said and not left to the last sender's: a task that outlives the transfer
/// may still hold one.
enum Message {
    Event(Event),
    End,
}

/// Something that shows events.
trait Display: Send {
    /// Shows one.
    fn event(&mut self, event: &Event);
    /// Time passed.
    fn tick(&mut self) {}
    /// All is over; what moved on the terminal is cleared.
    fn finish(&mut self) {}
}

impl Progress {
    /// Starts the display of `mode`.
    pub(crate) fn start(mode: Mode) -> Self {
        let display: Box<dyn Display> = match mode.settle() {
            Mode::Quiet => return Self { sender: None, thread: None },
            Mode::Tty | Mode::Auto => Box::new(tty::Bars::new()),
            Mode::Plain => Box::new(plain::Lines::new()),
            Mode::RawJson => Box::new(Raw),
        };
        let (sender, messages) = mpsc::channel();
        let follower = thread::Builder::new().name("display".to_owned()).spawn(move || follow(display, &messages));
        // A display that could not start shows nothing; the transfer is worth more.
        Self { sender: Some(sender), thread: follower.ok() }
    }

    /// Where a transfer tells what it does.
    pub(crate) fn sink(&self) -> Sink {
        match self.sender.clone() {
            // A display that is gone misses nothing that counts.
            Some(sender) => Arc::new(move |event| drop(sender.send(Message::Event(event)))),
            None => Arc::new(|_| ()),
        }
    }

    /// Shows what was told so far, and ends. Called by itself when dropped: nothing may be printed over a live display.
    pub(crate) fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(sender) = self.sender.take() {
            drop(sender.send(Message::End));
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn follow(mut display: Box<dyn Display>, messages: &Receiver<Message>) {
    loop {
        match messages.recv_timeout(TICK) {
            Ok(Message::Event(event)) => display.event(&event),
            Err(RecvTimeoutError::Timeout) => display.tick(),
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    display.finish();
}

/// One JSON object an event, a line each, on standard error.
struct Raw;

impl Display for Raw {
    fn event(&mut self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            super::err(&(line + "\n"));
        }
    }
}
