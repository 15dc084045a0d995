//! Uploads: whoever ends one is alone.

use oci::Algorithm;

use super::super::UploadRow;
use super::Case;
use super::probe::{Probe, name, ok};
use crate::storage::UploadId;
use crate::time::Instant;

pub(super) const CASES: &[Case] = &[uploads_advance_and_end, stale_uploads_are_found_oldest_first];

fn upload(at: i64) -> UploadRow {
    UploadRow {
        id: UploadId::random().expect("an id"),
        repository: name("a/b"),
        owner: "user:ann".to_owned(),
        algorithm: Algorithm::Sha512,
        offset: 0,
        hash_state: vec![1, 2, 3],
        started: Instant(at),
        touched: Instant(at),
    }
}

fn uploads_advance_and_end(probe: Probe<'_>) {
    let mut row = upload(5);
    assert_eq!(ok(probe.0.upload(&row.id)), None);
    ok(probe.0.begin_upload(&row));
    assert_eq!(ok(probe.0.upload(&row.id)), Some(row.clone()));
    ok(probe.0.advance_upload(&row.id, 1 << 40, b"state", Instant(9)));
    row.offset = 1 << 40;
    row.hash_state = b"state".to_vec();
    row.touched = Instant(9);
    assert_eq!(ok(probe.0.upload(&row.id)), Some(row.clone()));
    assert!(ok(probe.0.end_upload(&row.id)));
    assert!(!ok(probe.0.end_upload(&row.id)), "somebody else ended it");
    assert_eq!(ok(probe.0.upload(&row.id)), None);
    // Advancing what has ended does not bring it back.
    ok(probe.0.advance_upload(&row.id, 1, b"", Instant(10)));
    assert_eq!(ok(probe.0.upload(&row.id)), None);
}

fn stale_uploads_are_found_oldest_first(probe: Probe<'_>) {
    let rows = [upload(30), upload(10), upload(20)];
    for row in &rows {
        ok(probe.0.begin_upload(row));
    }
    let stale = |before, limit| ok(probe.0.stale_uploads(Instant(before), limit));
    assert_eq!(stale(10, 10), []);
    assert_eq!(stale(30, 10), [rows[1].clone(), rows[2].clone()]);
    assert_eq!(stale(31, 1), [rows[1].clone()]);
    ok(probe.0.advance_upload(&rows[1].id, 0, &rows[1].hash_state, Instant(40)));
    assert_eq!(stale(31, 10), [rows[2].clone(), rows[0].clone()]);
}
