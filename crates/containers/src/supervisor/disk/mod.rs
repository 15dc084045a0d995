//! What the container writes, watched while it runs.
//!
//! Nothing in the kernel bounds what an ordinary user's container writes: quotas and disks of its own are root's to have. So the free
//! space of the store's file system is looked at, the more often the less there is still to write, which costs one system call. Where
//! so much of it went that a bound may be reached, another process measures what is the container's ([`measure`]), and one that is
//! over it is killed ([`bounds`]). What it wrote between two looks it wrote too much.

mod bounds;
mod measure;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::Supervisor;
use super::protocol::StartFailure;
use super::serve::{Waits, Who};
use crate::Config;
use crate::event::{Event, Journal};
use crate::layout::{Folder, Layout};
use crate::time::Moment;
use crate::volume::Volumes;
use bounds::{Amount, Bounds, FILES_STEP, Free, STEP};
use measure::{Measured, Measuring, Wanted};

pub use measure::{entry, measure};

/// Others free what the container writes: so often it is measured in any case, where anybody wrote at all.
const AT_LEAST: Duration = Duration::from_secs(10);
/// A measurement takes no more than this share of the time…
const SHARE: u32 = 4;
/// … and, where nothing hints at a bound, no more than this.
const SMALL_SHARE: u32 = 100;
/// File systems' times may be this much behind the clock, in nanoseconds: two ticks of the slowest kernel.
const COARSE: u64 = 20_000_000;

/// The watch over what one container writes.
pub(super) struct Disk {
    bounds: Bounds,
    wanted: Wanted,
    /// When to look next; `None`: while it is measured, and when it is not watched.
    next: Option<Instant>,
    /// What was left when it was looked at last, and when that was.
    last: Option<(Free, Moment)>,
    known: Option<Known>,
    /// What there was when the disk became nearly full; `None` while it is not.
    low: Option<Amount>,
    measuring: Option<(Measuring, Begun)>,
    /// Why it was stopped.
    over: Option<String>,
}

/// What the last measurement said.
struct Known {
    measured: Measured,
    /// What was left before it.
    free: Free,
    at: Instant,
    took: Duration,
}

/// When a measurement began.
struct Begun {
    free: Free,
    /// What went between the two looks before it.
    fell: Amount,
    at: Instant,
}

impl Disk {
    /// The watch over a container. `limited`: the store has a limit.
    pub(super) fn new(config: &Config, folder: &Folder, layout: &Layout, limited: bool) -> Self {
        let volumes = Volumes::new(layout);
        let mounted = config.data.mounts.iter().filter_map(|mount| mount.volume()).map(|name| volumes.data(name));
        let mut others: Vec<PathBuf> = mounted.chain([folder.path().to_path_buf()]).collect();
        others.dedup();
        let root = layout.root().to_path_buf();
        let wanted = Wanted { root, own: layout.snapshot(&config.id), others, charged: None, since: Moment::NEVER };
        let bounds = Bounds { size: config.resources.disk, store: limited };
        Self { bounds, wanted, next: None, last: None, known: None, low: None, measuring: None, over: None }
    }

    /// Whether the store has a limit.
    pub(super) fn is_limited(&self) -> bool {
        self.bounds.store
    }

    /// Refuses a container that is larger than it may be already: it would be stopped at once.
    pub(super) fn check(&self) -> Result<(), StartFailure> {
        let Some(size) = self.bounds.size else { return Ok(()) };
        let own = self.wanted.walk().own;
        match own > size {
            true => Err(StartFailure::ours(format!(
                "{}; `estiba cp` and `estiba export` still read them",
                bounds::too_large(own, size)
            ))),
            false => Ok(()),
        }
    }

    /// The program runs. One that is started again goes on where it was: it may live shorter than a pause.
    pub(super) fn started(&mut self, now: Instant) {
        self.over = None;
        if self.last.is_some() {
            self.next = Some(now).filter(|_| self.measuring.is_none());
            return;
        }
        self.last = Free::of(&self.wanted.root).map(|free| (free, Moment::now()));
        self.plan(now, false);
    }

    /// It has ended. Gives whether it was stopped for what it wrote. What is being measured is heard all the same.
    pub(super) fn ended(&mut self) -> bool {
        self.next = None;
        self.over.is_some()
    }

    /// Why it was stopped.
    pub(super) fn why(&self) -> Option<&str> {
        self.over.as_deref()
    }

    /// Whether nothing is under way: neither a measurement nor the container's end for what it wrote.
    pub(super) fn is_quiet(&self) -> bool {
        self.measuring.is_none() && self.over.is_none()
    }

    pub(super) fn waits<'w>(&'w self, waits: &mut Waits<'w>) {
        match &self.measuring {
            Some((measuring, _)) => waits.fd(Who::Disk, measuring.descriptor(), PollFlags::IN),
            None => waits.until(self.next),
        }
    }

    /// The measurement is over. Gives why the container is to be stopped, where it is.
    pub(super) fn ready(&mut self, now: Instant) -> Option<String> {
        let (measuring, begun) = self.measuring.take()?;
        let measured = measuring.finish();
        let why = measured.as_ref().and_then(|measured| self.judge(measured, begun.fell));
        // Where it failed, what was known is as good as before, and not asked for again at once.
        let measured = measured.or_else(|| self.known.take().map(|known| known.measured)).unwrap_or_default();
        self.known = Some(Known { measured, free: begun.free, at: now, took: now - begun.at });
        self.plan(now, false);
        if why.is_some() {
            self.next = None;
            self.over.clone_from(&why);
        }
        why
    }

    fn judge(&mut self, measured: &Measured, fell: Amount) -> Option<String> {
        if self.bounds.store {
            self.wanted.charged = Some(measured.all);
        }
        if let Some(why) = self.bounds.judge(measured) {
            return Some(why);
        }
        let free = Free::of(&self.wanted.root)?;
        if !free.is_low() {
            return None;
        }
        let before = *self.low.get_or_insert_with(|| Amount {
            // What went at once, and is in files that changed since, is its doing.
            bytes: measured.all - measured.recent.min(fell.bytes).min(measured.all),
            files: measured.files - measured.recent_files.min(fell.files),
        });
        bounds::judge_growth(before, measured, &free)
    }

    /// Looks, where it is time.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        let Some(free) = Free::of(&self.wanted.root) else {
            self.next = Some(now + AT_LEAST);
            return;
        };
        let before = self.last.replace((free, Moment::now()));
        let fell = before.map_or_else(Amount::default, |(before, _)| Amount {
            bytes: before.bytes.saturating_sub(free.bytes),
            files: before.files.saturating_sub(free.files),
        });
        if !free.is_low() {
            self.low = None;
        }
        if self.is_worth(&free, now) {
            self.wanted.since = Moment(before.map_or(0, |(_, at)| at.0.saturating_sub(COARSE)));
            if self.bounds.store && self.wanted.charged.is_none() {
                // The first time: what is there was counted before it was started, or is next to nothing.
                self.wanted.charged = Some(u64::MAX);
            }
            if let Ok(measuring) = Measuring::begin(&self.wanted) {
                self.measuring = Some((measuring, Begun { free, fell, at: now }));
                self.next = None;
                return;
            }
        }
        self.plan(now, fell == Amount::default());
    }

    /// Whether a bound may be reached since it was measured last.
    fn is_worth(&self, free: &Free, now: Instant) -> bool {
        let low = free.is_low();
        let Some(known) = &self.known else { return low || self.bounds.is_any() };
        let age = now.saturating_duration_since(known.at);
        if age < known.took * SHARE {
            return false;
        }
        let went = known.free.bytes.saturating_sub(free.bytes);
        if low && (self.low.is_none() || went >= STEP || known.free.files.saturating_sub(free.files) >= FILES_STEP) {
            return true;
        }
        let rests = age >= AT_LEAST.max(known.took * SMALL_SHARE);
        self.bounds.is_any()
            && (went >= self.bounds.headroom(&known.measured).max(STEP) || (rests && known.free.bytes != free.bytes))
    }

    fn plan(&mut self, now: Instant, calm: bool) {
        let Some((free, _)) = self.last else {
            self.next = Some(now + AT_LEAST);
            return;
        };
        let headroom = self.known.as_ref().map(|known| {
            self.bounds.headroom(&known.measured).saturating_sub(known.free.bytes.saturating_sub(free.bytes))
        });
        self.next = Some(now + self.bounds.pause(&free, headroom.or(self.bounds.size), calm));
    }
}

impl Supervisor {
    /// The disk was measured: kills a container that takes too much of it.
    pub(super) fn disk_measured(&mut self) {
        let Some(why) = self.disk.ready(Instant::now()) else { return };
        let event = Event::of(&self.config, "disk_full").with("error", &why);
        Journal::new(self.containers.layout()).record(&event);
        self.state.error = Some(why);
        // Not asked: who fills the disk may go on while he is.
        self.kill_now();
        // It may have ended meanwhile, and wait to be started again.
        self.restarts.cancel();
    }
}
