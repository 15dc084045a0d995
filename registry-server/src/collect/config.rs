//! `[gc]`: what is collected, and when.

use std::time::Duration as Span;

use serde::{Deserialize, Serialize};

use crate::config::{Complaints, Duration};

/// Leases are renewed when they are older than this part of the grace, so that not every request writes.
const RENEWALS: u32 = 4;

/// `[gc]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gc {
    /// Whether what is unused goes by itself. Without, it goes when `registry gc` is run.
    pub enabled: bool,
    /// How often.
    pub interval: Duration,
    /// How long a blob stays that no manifest references, after it was last asked for, mounted or uploaded.
    pub grace: Duration,
    /// Whether manifests go that no tag, index or subject holds.
    pub untagged: Untagged,
    /// How long such a manifest stays after it was last held, asked for or pushed.
    pub untagged_grace: Duration,
}

/// What happens to manifests without tag, index and subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Untagged {
    /// They go.
    Delete,
    /// They stay, with all that they reference.
    Keep,
}

impl Default for Gc {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::hours(1),
            grace: Duration::hours(24),
            untagged: Untagged::Delete,
            untagged_grace: Duration::days(7),
        }
    }
}

impl Gc {
    /// How old a lease may be before it is renewed.
    pub fn renew(&self) -> Span {
        self.grace.get().min(self.untagged_grace.get()) / RENEWALS
    }

    /// Says what cannot be.
    pub fn validate(&self, wrong: &mut Complaints) {
        if self.interval.get().is_zero() {
            wrong.about("interval", "collecting all the time leaves no time for anything else: write \"1h\"");
        }
        // A push uploads its blobs first and its manifest last.
        if self.grace < Duration::seconds(60) {
            wrong.about("grace", "blobs of a push would go before its manifest comes: at least \"1m\"");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_shorter_than_a_push_is_refused() {
        for (grace, interval, complaints) in [(60, 1, 0), (59, 1, 1), (0, 0, 2)] {
            let gc = Gc { grace: Duration::seconds(grace), interval: Duration::seconds(interval), ..Gc::default() };
            let mut wrong = Complaints::default();
            gc.validate(&mut wrong);
            assert_eq!(wrong.into_vec().len(), complaints, "{gc:?}");
        }
    }
}
