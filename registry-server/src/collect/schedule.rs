//! When the collector runs by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::collector::{Collector, Result};
use crate::time::Instant;

/// How often the cap is looked at: one row is read.
const CAP: Duration = Duration::from_secs(60);
/// How often the cap makes it collect: what it may take does not change faster.
const OVER_CAP: Duration = Duration::from_secs(600);
/// How often it can be woken: uploads that find a full disk come fast.
const WOKEN: Duration = Duration::from_secs(10);
/// How soon after the start it first collects; a server that is started often collects too.
const FIRST: Duration = Duration::from_secs(120);
/// How often all names are looked at for files without rows.
const SWEEP: Duration = Duration::from_secs(24 * 3600);

impl Collector {
    /// Collects every `interval`, when [`Collector::wake`] is called, and when the cap is passed; sweeps daily.
    /// Ends soon after `end` is cancelled.
    pub async fn run(self: Arc<Self>, interval: Duration, end: CancellationToken) {
        let mut timetable = Timetable::begin(interval, Instant::now());
        loop {
            let woken = tokio::select! {
                () = end.cancelled() => return,
                () = self.wanted.notified() => true,
                () = tokio::time::sleep(CAP.min(interval)) => false,
            };
            let (collector, stop) = (Arc::clone(&self), end.clone());
            let turn = move || {
                let done = collector.turn(&mut timetable, woken, &stop);
                (timetable, done)
            };
            match tokio::task::spawn_blocking(turn).await {
                Ok((after, done)) => {
                    timetable = after;
                    if let Err(error) = done {
                        tracing::error!(%error, "the collection ended early");
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the collector failed");
                    return;
                }
            }
        }
    }

    fn turn(&self, timetable: &mut Timetable, woken: bool, end: &CancellationToken) -> Result<()> {
        let now = Instant::now();
        if (woken && timetable.may_wake(now))
            || timetable.collects(now)
            || (timetable.hurries(now) && self.over_cap(0)?)
        {
            timetable.collected = now;
            self.collect_now(false, now, &mut |_| !end.is_cancelled())?;
        }
        if timetable.sweeps(now) {
            timetable.swept = now;
            self.sweep(now, &|| end.is_cancelled())?;
        }
        Ok(())
    }
}

/// What was done when.
#[derive(Debug, Clone, Copy)]
struct Timetable {
    interval: Duration,
    collected: Instant,
    swept: Instant,
}

impl Timetable {
    fn begin(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            collected: now.after(FIRST.min(interval)).before(interval),
            swept: now.after(interval).before(SWEEP),
        }
    }

    fn hurries(&self, now: Instant) -> bool {
        self.collected.after(OVER_CAP.min(self.interval)) <= now
    }

    fn collects(&self, now: Instant) -> bool {
        self.collected.after(self.interval) <= now
    }

    fn may_wake(&self, now: Instant) -> bool {
        self.collected.after(WOKEN.min(self.interval)) <= now
    }

    fn sweeps(&self, now: Instant) -> bool {
        self.swept.after(SWEEP) <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_collection_comes_soon_and_the_others_by_the_interval() {
        let start = Instant(1_000_000_000_000);
        let hour = Duration::from_secs(3600);
        let mut table = Timetable::begin(hour, start);
        for (seconds, collects, sweeps) in
            [(0, false, false), (119, false, false), (120, true, false), (3600, true, true)]
        {
            let now = start.after(Duration::from_secs(seconds));
            assert_eq!((table.collects(now), table.sweeps(now)), (collects, sweeps), "{seconds}");
        }
        table.collected = start;
        for (seconds, hurries, collects) in
            [(0, false, false), (599, false, false), (600, true, false), (3600, true, true)]
        {
            let now = start.after(Duration::from_secs(seconds));
            assert_eq!((table.hurries(now), table.collects(now)), (hurries, collects), "{seconds}");
        }
    }
}
