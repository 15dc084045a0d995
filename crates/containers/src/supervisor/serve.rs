//! The loop.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Supervisor;

/// Who waits for something to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "health and notify come to wait for something")]
pub(super) enum Who {
    /// The container has ended.
    Container,
    /// Somebody connects.
    Listener,
    /// A signal for us.
    Signals,
    /// A connection, by its place.
    Connection(usize),
    /// Something of the streams.
    Streams,
    /// Something of the question for the container's health.
    Health(usize),
    /// One who asked for the container's health, and was given up, has ended.
    GivenUp,
    /// A process that serves the container's network has ended.
    Sidecar,
    /// The keeper of its networks has ended.
    Keeper,
    /// Another keeper has begun, or has not.
    Follower,
    /// What it wrote is measured.
    Disk,
    /// Something of the service manager's.
    Notify(usize),
}

/// What the loop waits for.
#[derive(Default)]
pub(super) struct Waits<'w> {
    who: Vec<Who>,
    fds: Vec<PollFd<'w>>,
    until: Option<Instant>,
}

impl<'w> Waits<'w> {
    /// Waits for a descriptor.
    pub(super) fn fd(&mut self, who: Who, fd: &'w impl AsFd, flags: PollFlags) {
        self.who.push(who);
        self.fds.push(PollFd::new(fd, flags));
    }

    /// Waits for a borrowed descriptor.
    pub(super) fn borrowed(&mut self, who: Who, fd: BorrowedFd<'w>, flags: PollFlags) {
        self.who.push(who);
        self.fds.push(PollFd::from_borrowed_fd(fd, flags));
    }

    /// Wakes up at this time at the latest.
    pub(super) fn until(&mut self, time: Option<Instant>) {
        self.until = [self.until, time].into_iter().flatten().min();
    }

    pub(super) fn wait(mut self) -> Vec<Who> {
        let timeout = self.until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        match poll(&mut self.fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            // Out of memory, if anything: the next turn may do better, and must not spin.
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(50)),
        }
        let ready = self.who.into_iter().zip(&self.fds).filter(|(_, fd)| !fd.revents().is_empty());
        ready.map(|(who, _)| who).collect()
    }
}

impl Supervisor {
    /// Watches until the container has ended for good. Gives our own exit code.
    pub(super) fn watch(mut self) -> u8 {
        self.watch_sidecars();
        self.watch_keeper();
        loop {
            let mut ended = false;
            for who in self.waits().wait() {
                match who {
                    Who::Container => ended = true,
                    other => self.serve(other),
                }
            }
            // What it said last was there before its end: streams are served first.
            if ended && !self.ended() {
                return self.finish();
            }
            if !self.tick(Instant::now()) {
                return self.finish();
            }
        }
    }

    fn waits(&self) -> Waits<'_> {
        let mut waits = Waits::default();
        if let Some(running) = &self.running {
            waits.who.push(Who::Container);
            waits.fds.push(PollFd::from_borrowed_fd(running.pidfd(), PollFlags::IN));
        }
        for (_, ended) in &self.watched {
            waits.fd(Who::Sidecar, ended, PollFlags::IN);
        }
        self.following.waits(&mut waits);
        waits.fd(Who::Listener, &self.listener, PollFlags::IN);
        waits.fd(Who::Signals, &self.signals, PollFlags::IN);
        self.connections.waits(&mut waits);
        self.streams.waits(&mut waits);
        self.health.waits(&mut waits);
        self.notify.waits(&mut waits);
        self.disk.waits(&mut waits);
        waits.until(self.stop.as_ref().and_then(super::Stop::deadline));
        waits.until(self.restarts.due());
        waits.until(self.shrinks.filter(|_| self.is_quiet()));
        waits
    }

    fn serve(&mut self, who: Who) {
        match who {
            Who::Container => {}
            Who::Listener => self.connections.accept(&self.listener),
            Who::Signals => self.take_signals(),
            Who::Connection(place) => self.request(place),
            Who::Streams => self.serve_streams(),
            Who::Health(_) => self.tick_health(Instant::now()),
            Who::Sidecar => self.look_after_sidecars(),
            Who::Keeper => self.following.ended(Instant::now()),
            Who::Follower => self.followed(),
            Who::GivenUp => self.health.reap(),
            Who::Disk => self.disk_measured(),
            Who::Notify(number) => self.notify.ready(number),
        }
    }

    /// What came of the streams that is not theirs: signals that an attached terminal passes on.
    fn serve_streams(&mut self) {
        for signal in self.streams.turn() {
            if let Some(running) = &self.running {
                drop(running.kill(signal));
            }
        }
    }

    /// A SIGTERM to us is a wish that the container ends: of a service manager, or of a machine that goes down.
    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.take() {
            if signal == crate::signal::SIGTERM {
                self.begin_stop(None, None);
            }
        }
    }

    /// Does what is due. Gives whether there is still something to watch.
    fn tick(&mut self, now: Instant) -> bool {
        if self.stop.as_mut().is_some_and(|stop| stop.is_over(now)) {
            self.kill_now();
        }
        if self.restarts.due().is_some_and(|due| due <= now) && !self.start_again() {
            return false;
        }
        if self.running.is_none() && self.restarts.due().is_none() {
            return false;
        }
        self.tick_health(now);
        self.tick_keeper(now);
        self.notify.tick(&self.state);
        self.disk.tick(now);
        if self.shrinks.is_some_and(|at| at <= now) && self.is_quiet() {
            self.shrink();
        }
        self.connections.forget_closed();
        true
    }

    /// Whether nothing is half done: only then it executes itself again.
    fn is_quiet(&self) -> bool {
        self.running.is_some()
            && self.stop.is_none()
            && self.connections.is_empty()
            && self.streams.is_quiet()
            && !self.health.is_asking()
            && self.following.is_quiet()
            && self.disk.is_quiet()
    }
}
