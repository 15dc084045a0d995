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
use serde::{Deserialize, Serialize};

use super::Supervisor;
use super::protocol::StartFailure;
use super::serve::{Waits, Who};
use crate::Config;
use crate::config::MountSource;
use crate::event::{Event, Journal};
use crate::layout::{Folder, Layout};
use crate::state::ProcessId;
use crate::time::Moment;
use crate::volume::Volumes;
use bounds::{Amount, Bounds, FILES_STEP, Free, Full, STEP};
use measure::{Measured, Measuring, Store, Wanted};

pub use measure::{entry, measure};

/// Others free what the container writes: so often it is measured in any case, where anybody wrote at all.
const AT_LEAST: Duration = Duration::from_secs(10);
/// A measurement takes no more than this share of the time…
const SHARE: u32 = 4;
/// … and, where nothing hints at a bound, no more than this.
const SMALL_SHARE: u32 = 100;
/// The store's room is waited for so long: others hold it while they measure and collect. Then it is asked anew.
const PATIENCE: Duration = Duration::from_secs(30);
/// A measurement that failed is begun again after this.
const AGAIN: Duration = Duration::from_secs(1);
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
    /// What it took, in bytes, when the store had room for the last time; as it was first measured, where it never had.
    roomy: Option<u64>,
    /// The store when it was first seen over its limit; `None` while it is not.
    full: Option<Full>,
    measuring: Option<(Measuring, Begun)>,
    /// Why it was stopped.
    over: Option<String>,
}

/// What is known, for when the supervisor executes itself again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Packed {
    limited: bool,
    last: Option<(Free, Moment)>,
    known: Option<(Measured, Free, Duration)>,
    charged: Option<u64>,
    low: Option<Amount>,
    roomy: Option<u64>,
    full: Option<Full>,
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
    /// What the walk found, and until when the store's room is waited for.
    walked: Option<(Measured, Instant)>,
}

impl Disk {
    /// The watch over a container. `limited`: the store has a limit.
    pub(super) fn new(config: &Config, folder: &Folder, layout: &Layout, limited: bool) -> Self {
        let volumes = Volumes::new(layout);
        let mounted = config.data.mounts.iter().filter_map(|mount| mount.volume()).map(|name| volumes.data(name));
        let mut others: Vec<PathBuf> = mounted.chain([folder.path().to_path_buf()]).collect();
        others.dedup();
        let root = layout.root().to_path_buf();
        let own = layout.snapshot(&config.id);
        let volumes = !config.data.mounts.iter().any(|mount| matches!(mount.source, MountSource::Bind { .. }));
        let wanted = Wanted { root, own, others, init: None, volumes, charged: None, since: Moment::NEVER };
        let bounds = Bounds { size: config.resources.disk, store: limited };
        Self {
            bounds,
            wanted,
            next: None,
            last: None,
            known: None,
            low: None,
            roomy: None,
            full: None,
            measuring: None,
            over: None,
        }
    }

    /// For when the supervisor executes itself again.
    pub(super) fn pack(&self) -> Packed {
        let known = self.known.as_ref().map(|known| (known.measured.clone(), known.free, known.took));
        let (limited, charged) = (self.bounds.store, self.wanted.charged);
        Packed { limited, last: self.last, known, charged, low: self.low, roomy: self.roomy, full: self.full }
    }

    pub(super) fn unpack(packed: Packed, config: &Config, folder: &Folder, layout: &Layout) -> Self {
        let at = Instant::now();
        let known = packed.known.map(|(measured, free, took)| Known { measured, free, at, took });
        let mut disk = Self::new(config, folder, layout, packed.limited);
        (disk.last, disk.known, disk.low) = (packed.last, known, packed.low);
        (disk.roomy, disk.full) = (packed.roomy, packed.full);
        disk.wanted.charged = packed.charged;
        disk
    }

    /// Refuses a container that is larger than it may be already: it would be stopped at once.
    pub(super) fn check(&self) -> Result<(), StartFailure> {
        if self.bounds.size.is_none() {
            return Ok(());
        }
        match self.bounds.judge(&self.wanted.walk()) {
            Some(why) => {
                Err(StartFailure::ours(format!("{why}; `estiba cp` and `estiba export` still read its files")))
            }
            None => Ok(()),
        }
    }

    /// The program runs. One that is started again goes on where it was: it may live shorter than a pause.
    pub(super) fn started(&mut self, init: Option<ProcessId>, now: Instant) {
        self.over = None;
        self.wanted.init = init;
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
        self.wanted.init = None;
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
            Some((measuring, begun)) => {
                waits.fd(Who::Disk, measuring.descriptor(), PollFlags::IN);
                waits.until(begun.walked.as_ref().map(|(_, until)| *until));
            }
            None => waits.until(self.next),
        }
    }

    /// The measurement says something. Gives why the container is to be stopped, where it is.
    pub(super) fn ready(&mut self, now: Instant) -> Option<String> {
        let (mut measuring, mut begun) = self.measuring.take()?;
        let measured = measuring.hear();
        let is_new = self.over.is_none();
        let why = measured.as_ref().filter(|_| is_new).and_then(|measured| self.judge(measured, begun.fell));
        match measured {
            // What was walked holds already; how the store is comes later.
            Some(measured) if measured.store == Store::Asked => {
                begun.walked = Some((measured, now + PATIENCE));
                self.measuring = Some((measuring, begun));
            }
            other => self.settle(other, begun, now),
        }
        if why.is_some() {
            self.next = None;
            self.over.clone_from(&why);
        }
        why
    }

    /// A measurement is over. Where it failed, what was walked holds, or else what was known; it is not asked for again at once.
    fn settle(&mut self, measured: Option<Measured>, begun: Begun, now: Instant) {
        let known = self.known.take().map(|known| known.measured);
        let walked = begun.walked.map(|(walked, _)| {
            let store = known.as_ref().map_or(Store::Left(0), |known| known.store.clone());
            Measured { store, ..walked }
        });
        if let Some(measured) = measured.or(walked).or(known) {
            self.known = Some(Known { measured, free: begun.free, at: now, took: now - begun.at });
            self.plan(now, false);
        } else {
            self.next = Some(now + AGAIN);
        }
        if self.over.is_some() || self.wanted.init.is_none() {
            self.next = None;
        }
    }

    fn judge(&mut self, measured: &Measured, fell: Amount) -> Option<String> {
        if let Some(why) = self.bounds.judge(measured) {
            return Some(why);
        }
        if self.bounds.store && measured.store != Store::Asked {
            self.wanted.charged = Some(measured.all);
        }
        match &measured.store {
            Store::Full { over, why } => {
                // The first time, what went at once, and is in files that changed since, is its doing.
                let before = self.roomy.unwrap_or_else(|| measured.all.saturating_sub(measured.recent.min(fell.bytes)));
                if self.full.get_or_insert(Full { before, over: *over }).is_by(measured, *over) {
                    return Some(why.clone());
                }
            }
            Store::Left(1..) | Store::Unlimited => (self.roomy, self.full) = (Some(measured.all), None),
            Store::Left(0) => {
                self.roomy.get_or_insert(measured.all);
            }
            Store::Asked => {}
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
        if let Some((_, begun)) =
            self.measuring.take_if(|(_, begun)| begun.walked.as_ref().is_some_and(|(_, until)| *until <= now))
        {
            self.settle(None, begun, now);
        }
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
                self.measuring = Some((measuring, Begun { free, fell, at: now, walked: None }));
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
        let went = known.free.bytes.saturating_sub(free.bytes);
        // Where a bound may be passed already there is no rest.
        let is_urgent = self.bounds.may_be_passed(&known.measured, went) || low && went > free.bytes.max(STEP);
        if !is_urgent && age < known.took * SHARE {
            return false;
        }
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
        let pause = match &self.known {
            None => self.bounds.first_pause(&free),
            Some(known) => {
                let went = known.free.bytes.saturating_sub(free.bytes);
                self.bounds.pause(&free, Some(self.bounds.headroom(&known.measured).saturating_sub(went)), calm)
            }
        };
        self.next = Some(now + pause);
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
