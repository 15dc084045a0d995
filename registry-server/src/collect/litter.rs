//! Files without a row: what a killed process leaves between a commit and its row, or between a row's end and its file's.
//!
//! A file's age is not asked, so that any backend will do: what is seen without a row is remembered, and goes when
//! it is seen so again after the grace. Keys are never used twice, so that nothing can come back in between.

use std::collections::HashMap;
use std::time::Duration;

use super::collector::Result;
use crate::metadata::Metadata;
use crate::storage::{self, ObjectKey, Objects, UploadId};
use crate::time::Instant;

/// Files that are remembered at most; the rest waits for a later sweep. About 20 MB.
const REMEMBERED: usize = 100_000;
/// Files between two pauses, and the pause: a sweep of a million takes a minute, and little of the disk.
const STRETCH: usize = 256;
const PAUSE: Duration = Duration::from_millis(2);

/// What has been seen without a row, and since when.
#[derive(Debug)]
pub(super) struct Litter {
    grace: Duration,
    objects: HashMap<ObjectKey, Instant>,
    uploads: HashMap<UploadId, Instant>,
}

impl Litter {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, objects: HashMap::new(), uploads: HashMap::new() }
    }

    /// Looks at all names, removes what has been litter for long enough, and tells how many files that were.
    pub(super) fn sweep(
        &mut self,
        metadata: &dyn Metadata,
        objects: &dyn Objects,
        now: Instant,
        stop: &dyn Fn() -> bool,
    ) -> Result<u64> {
        let found = without_row(metadata, objects, stop)?;
        let mut swept = 0;
        for key in remember(&mut self.objects, found, now, self.grace) {
            swept += u64::from(objects.remove(&key)?);
        }
        let mut found = Vec::new();
        for upload in objects.uploads()? {
            if metadata.upload(&upload)?.is_none() {
                found.push(upload);
            }
        }
        for upload in remember(&mut self.uploads, found, now, self.grace) {
            objects.abort(&upload)?;
            swept += 1;
        }
        Ok(swept)
    }
}

fn without_row(metadata: &dyn Metadata, objects: &dyn Objects, stop: &dyn Fn() -> bool) -> Result<Vec<ObjectKey>> {
    let (mut found, mut seen) = (Vec::new(), 0_usize);
    let mut failed = None;
    let walked = objects.walk(&mut |key, digest, _| {
        seen += 1;
        if seen.is_multiple_of(STRETCH) {
            std::thread::sleep(PAUSE);
            if stop() {
                return Err(storage::Error::Missing("the end of the sweep".to_owned()));
            }
        }
        match metadata.object(&digest) {
            Ok(Some(row)) if row.key == key => {}
            Ok(_) => found.push(key),
            Err(error) => {
                failed = Some(error);
                return Err(storage::Error::Missing("the metadata".to_owned()));
            }
        }
        Ok(())
    });
    match failed {
        Some(error) => Err(error.into()),
        // What was found until then is litter all the same.
        None if stop() => Ok(found),
        None => Ok(walked.map(|()| found)?),
    }
}

/// Those of `found` that were found a grace ago already. The others are remembered; those not found any more are not.
fn remember<K: Clone + Eq + std::hash::Hash>(
    seen: &mut HashMap<K, Instant>,
    found: Vec<K>,
    now: Instant,
    grace: Duration,
) -> Vec<K> {
    let mut known = HashMap::with_capacity(found.len().min(REMEMBERED));
    let mut due = Vec::new();
    for key in found {
        let since = seen.get(&key).copied().unwrap_or(now);
        if since.after(grace) <= now && since < now {
            due.push(key);
        } else if known.len() < REMEMBERED {
            known.insert(key, since);
        }
    }
    *seen = known;
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn litter_goes_when_it_is_seen_again_after_the_grace() {
        let mut seen = HashMap::new();
        let mut look = |found: &[&str], at: i64| {
            let found = found.iter().map(|key| (*key).to_owned()).collect();
            remember(&mut seen, found, Instant(at), Duration::from_millis(10))
        };
        assert!(look(&["a", "b"], 1).is_empty());
        assert!(look(&["a"], 10).is_empty());
        assert_eq!(look(&["a", "b"], 11), ["a"]);
        assert!(look(&["b"], 20).is_empty());
        assert_eq!(look(&["b"], 21), ["b"]);
    }
}
