//! The outbox: events wait until they are delivered.

use super::Case;
use super::probe::{Probe, ok};
use crate::time::Instant;

pub(super) const CASES: &[Case] = &[events_wait_for_their_delivery];

fn events_wait_for_their_delivery(probe: Probe<'_>) {
    let due = |at, limit| ok(probe.0.due_events(Instant(at), limit));
    let events: Vec<String> = ["one", "two", "three"].map(str::to_owned).into();
    ok(probe.0.enqueue(&[], Instant(1)));
    ok(probe.0.enqueue(&events[..2], Instant(10)));
    ok(probe.0.enqueue(&events[2..], Instant(11)));
    assert_eq!(ok(probe.0.pending_events()), 3);
    assert!(due(9, 10).is_empty());
    let rows = due(11, 10);
    assert_eq!(rows.iter().map(|row| row.event.clone()).collect::<Vec<_>>(), events);
    assert!(rows.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    assert!(rows.iter().all(|row| row.attempts == 0));
    assert_eq!(due(11, 1), rows[..1]);
    ok(probe.0.postpone(&[rows[0].sequence, rows[1].sequence], Instant(20)));
    assert_eq!(due(19, 10), rows[2..]);
    let again = due(20, 10);
    assert_eq!(again.iter().map(|row| row.attempts).collect::<Vec<_>>(), [0, 1, 1]);
    assert_eq!(again[1].due, Instant(20));
    ok(probe.0.delivered(&[rows[0].sequence, rows[2].sequence]));
    ok(probe.0.delivered(&[rows[0].sequence]));
    assert_eq!(due(100, 10).len(), 1);
    assert_eq!(ok(probe.0.pending_events()), 1);
    // A number is never used again: a late "delivered" hits nobody else.
    ok(probe.0.delivered(&[rows[1].sequence]));
    ok(probe.0.enqueue(&events[..1], Instant(30)));
    assert!(due(100, 10)[0].sequence > rows[2].sequence);
}
