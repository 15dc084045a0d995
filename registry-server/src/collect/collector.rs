//! The online collector: rows first, in bounded steps, then bytes.
//!
//! It takes no lock that requests know of. A step deletes rows that nothing references in one transaction; only
//! then are the bytes removed, by keys that no later upload can have. What is killed in between leaves files
//! without rows, which the sweep of [`super::litter`] finds.
//!
//! Order: abandoned uploads; manifests that nothing holds, unreferenced blobs, objects without a repository; over the
//! cap the same with shorter graces ([`super::rules::Pressure`]). What is referenced never goes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::litter::Litter;
use super::report::Report;
use super::rules::{ESCALATION, Pressure, Rules};
use crate::body::Maps;
use crate::metadata::{self, Metadata};
use crate::storage::{self, Objects};
use crate::time::Instant;

/// Abandoned uploads that are looked up at once.
const UPLOADS: usize = 100;

/// Why a collection ended early. What it did by then is done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The metadata failed.
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// The result of a collection.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Hears what was taken so far, after each step; `false` ends the collection.
pub type Progress<'p> = dyn FnMut(&Report) -> bool + 'p;

/// Takes away what is not needed any more, while everything goes on.
pub struct Collector {
    metadata: Arc<dyn Metadata>,
    objects: Arc<dyn Objects>,
    rules: Rules,
    /// Where objects are mapped for being sent: the bytes of a removed one are freed when it is unmapped.
    maps: Option<Arc<Maps>>,
    /// Held by the one collection at a time.
    litter: Mutex<Litter>,
    last: Mutex<Option<(Instant, Report)>>,
    pub(super) wanted: tokio::sync::Notify,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Collector {
    /// A collector of one registry.
    pub fn new(metadata: Arc<dyn Metadata>, objects: Arc<dyn Objects>, rules: Rules) -> Self {
        let litter = Mutex::new(Litter::new(rules.grace.max(rules.upload_expiry)));
        Self {
            metadata,
            objects,
            rules,
            maps: None,
            litter,
            last: Mutex::new(None),
            wanted: tokio::sync::Notify::new(),
        }
    }

    /// Lets go of what is mapped there when it is removed.
    #[must_use]
    pub fn with_maps(mut self, maps: &Arc<Maps>) -> Self {
        self.maps = Some(Arc::clone(maps));
        self
    }

    /// Collects all that may go at `now`. Blocking; a second caller waits for the first.
    ///
    /// # Errors
    /// When the metadata fails. Bytes that cannot be removed are counted, and swept later.
    pub fn collect_now(&self, dry_run: bool, now: Instant, progress: &mut Progress<'_>) -> Result<Report> {
        let _one = self.alone();
        let mut report = Report { dry_run, ..Report::default() };
        if dry_run {
            report.add(&self.metadata.collect(&self.rules.cutoff(now, Pressure::None), true)?);
            report.uploads =
                self.metadata.stale_uploads(now.before(self.rules.upload_expiry), usize::MAX)?.len() as u64;
            report.over_cap = self.over_cap(report.bytes)?;
            progress(&report);
            return Ok(report);
        }
        self.expire_uploads(now, &mut report)?;
        let mut wanted = self.steps(now, Pressure::None, &mut report, progress)?;
        for pressure in ESCALATION {
            if wanted && self.over_cap(0)? {
                tracing::warn!(
                    ?pressure,
                    "the storage is over its cap, or the disk is full: collecting with a shorter grace"
                );
                wanted = self.steps(now, pressure, &mut report, progress)?;
            }
        }
        report.over_cap = self.over_cap(0)?;
        self.tell(now, &report);
        Ok(report)
    }

    /// Sweeps files without rows that have been seen so for longer than the grace. Reads the names of all objects;
    /// `stop` is asked now and then. Returns how many files went.
    ///
    /// # Errors
    /// When the storage or the metadata fails.
    pub fn sweep(&self, now: Instant, stop: &dyn Fn() -> bool) -> Result<u64> {
        let mut litter = self.alone();
        let swept = litter.sweep(&*self.metadata, &*self.objects, now, stop)?;
        if swept > 0 {
            tracing::info!(files = swept, "swept files without rows");
        }
        Ok(swept)
    }

    /// The last whole collection that was no dry run, and when it was.
    pub fn last(&self) -> Option<(Instant, Report)> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks [`Collector::run`] to collect soon: the disk is full.
    pub fn wake(&self) {
        self.wanted.notify_one();
    }

    /// Whether the objects would take more than the cap, or leave less than the reserve, with so many bytes less.
    pub(super) fn over_cap(&self, but_for: u64) -> Result<bool> {
        let bytes = self.metadata.total_bytes()?.saturating_sub(but_for);
        let free = self.objects.space()?.free.saturating_add(but_for);
        Ok(self.rules.over_cap(bytes, free))
    }

    /// Does something while nothing is collected or swept: a copy that needs all objects of one moment.
    pub fn at_rest<T>(&self, work: impl FnOnce() -> T) -> T {
        let _one = self.alone();
        work()
    }

    fn alone(&self) -> MutexGuard<'_, Litter> {
        self.litter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expire_uploads(&self, now: Instant, report: &mut Report) -> Result<()> {
        loop {
            let stale = self.metadata.stale_uploads(now.before(self.rules.upload_expiry), UPLOADS)?;
            if stale.is_empty() {
                return Ok(());
            }
            for upload in stale {
                // Who ends the row owns the bytes: a request that finishes it just now has won.
                if self.metadata.end_upload(&upload.id)? {
                    self.objects.abort(&upload.id)?;
                    report.uploads += 1;
                }
            }
        }
    }

    /// Steps until nothing is left, or the cap is kept where that is what it is about. `false`: nobody wants more.
    fn steps(
        &self,
        now: Instant,
        pressure: Pressure,
        report: &mut Report,
        progress: &mut Progress<'_>,
    ) -> Result<bool> {
        let cutoff = self.rules.cutoff(now, pressure);
        while pressure == Pressure::None || self.over_cap(0)? {
            let step = self.metadata.collect(&cutoff, false)?;
            if step.manifests.is_empty() && step.links.is_empty() && step.objects.is_empty() {
                break;
            }
            report.add(&step);
            for object in &step.objects {
                self.maps.iter().for_each(|maps| maps.forget(&object.key));
                if let Err(error) = self.objects.remove(&object.key) {
                    tracing::warn!(digest = %object.digest, %error, "cannot remove a collected object");
                    report.failed += 1;
                }
            }
            tracing::debug!(manifests = report.manifests, blobs = report.blobs, bytes = report.bytes, "collecting");
            if !progress(report) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn tell(&self, now: Instant, report: &Report) {
        let Report { manifests, links, blobs, bytes, uploads, failed, over_cap, .. } = *report;
        tracing::info!(manifests, links, blobs, bytes, uploads, failed, over_cap, "collected");
        if over_cap {
            tracing::warn!(
                "the storage is over its cap, or the disk is full, and all that it holds is referenced or leased"
            );
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, *report));
    }
}
