//! Many callers at once: one of them wins, and none is lost.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{BlobRow, Committed, Error, Existing};
use super::Case;
use super::probe::{ALL, Image, Probe, blob, digest, name, ok, quota, tag};
use crate::storage::ObjectKey;
use crate::time::Instant;

pub(super) const CASES: &[Case] = &[
    one_of_many_equal_commits_wins,
    one_of_many_creators_of_a_tag_wins,
    many_movers_of_a_tag_leave_one_history,
    a_quota_is_never_passed,
    a_push_and_a_collection_do_not_meet,
    a_deletion_judges_every_tag,
];

const CALLERS: usize = 8;

/// Calls `call` from many threads at once with their numbers; what they got.
fn all_at_once<T: Send>(call: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(CALLERS);
    std::thread::scope(|scope| {
        let spawn = |number| {
            let (start, call) = (&start, &call);
            scope.spawn(move || {
                start.wait();
                call(number)
            })
        };
        let threads: Vec<_> = (0..CALLERS).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("a caller")).collect()
    })
}

fn one_of_many_equal_commits_wins(probe: Probe<'_>) {
    let key = |number: usize| ObjectKey(format!("commit {number}"));
    for round in 0..8 {
        let text = format!("round {round}");
        let outcomes = all_at_once(|number| {
            let row = BlobRow { key: key(number), ..blob(&text) };
            ok(probe.0.link_blob(&name(&format!("a{number}")), &row, &[], Instant(1)))
        });
        let winners: Vec<_> = (0..CALLERS).filter(|number| outcomes[*number] == Committed::Stored).collect();
        assert_eq!(winners.len(), 1);
        let others = outcomes.iter().filter(|outcome| **outcome == Committed::Existed(key(winners[0]))).count();
        assert_eq!(others, CALLERS - 1);
        assert_eq!(ok(probe.0.holders(&digest(&text), 100)).len(), CALLERS);
    }
}

fn one_of_many_creators_of_a_tag_wins(probe: Probe<'_>) {
    for existing in [Existing::Deny, Existing::Immutable] {
        let text = format!("{existing:?}").to_lowercase();
        let outcomes = all_at_once(|number| {
            probe.0.put_manifest(&Image::new("a", &format!("{text} {number}")).tags_if(&[&text], existing).0)
        });
        let won: Vec<_> = (0..CALLERS).filter(|number| outcomes[*number].is_ok()).collect();
        assert_eq!(won.len(), 1);
        assert_eq!(probe.tagged("a", &text), Some(digest(&format!("{text} {}", won[0]))));
        let refused =
            |outcome: &super::super::Result<_>| matches!(outcome, Err(Error::UpdateDenied(_) | Error::Immutable(_)));
        assert_eq!(outcomes.iter().filter(|outcome| refused(outcome)).count(), CALLERS - 1);
        assert_eq!(ok(probe.0.history(&name("a"), &tag(&text), 100)).len(), 1);
    }
}

fn many_movers_of_a_tag_leave_one_history(probe: Probe<'_>) {
    all_at_once(|number| {
        for round in 0..4 {
            probe.put(Image::new("a", &format!("image {number} {round}")).tags(&["v"]));
        }
    });
    let history = ok(probe.0.history(&name("a"), &tag("v"), 100));
    assert_eq!(history.len(), CALLERS * 4);
    assert_eq!(history[0].digest, probe.tagged("a", "v"));
    assert!(history.windows(2).all(|pair| pair[0].sequence > pair[1].sequence));
    let row = ok(probe.0.repository(&name("a"))).expect("a row");
    assert_eq!((row.tags, row.manifests), (1, (CALLERS * 4) as u64));
    assert_eq!(probe.collect(100).manifests.len(), CALLERS * 4 - 1);
}

fn a_quota_is_never_passed(probe: Probe<'_>) {
    let quotas = [quota("a", 40)];
    let outcomes = all_at_once(|number| {
        let link = |round| {
            let text = format!("{number:04}{round:04}!!");
            probe.0.link_blob(&name(&format!("a/{number}")), &blob(&text), &quotas, Instant(1)).is_ok()
        };
        (0..4).filter(|round| link(*round)).count()
    });
    assert_eq!(outcomes.iter().sum::<usize>(), 4, "ten bytes each");
}

/// A client asks for a blob, is told that it is there, does not upload it, and pushes its manifest:
/// that works, or the client is told so; the collector never takes what the manifest got.
fn a_push_and_a_collection_do_not_meet(probe: Probe<'_>) {
    let pushed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !pushed.load(Ordering::Relaxed) {
                // Everything but what was leased at this very moment.
                probe.collect_leniently(9);
            }
        });
        for round in 0..60 {
            let layer = format!("layer {round}");
            probe.link("a", &layer, 5);
            let there = ok(probe.0.touch_blob(&name("a"), &digest(&layer), Instant(10)));
            let image =
                Image::new("a", &format!("image {round}")).layers(&[&layer]).tags(&[&format!("v{round}")]).at(10);
            match probe.0.put_manifest(&image.0) {
                Ok(_) => assert!(probe.has_blob("a", &layer), "it was referenced when it was collected"),
                Err(Error::Absent(_)) => assert!(!there, "what was leased was collected"),
                Err(error) => panic!("{error}"),
            }
        }
        pushed.store(true, Ordering::Relaxed);
    });
    for row in ok(probe.0.manifests(&name("a"), ALL)) {
        for edge in ok(probe.0.edges(&name("a"), &row.blob.digest)) {
            assert!(ok(probe.0.blob(&name("a"), &edge.digest)).is_some());
        }
    }
}

fn a_deletion_judges_every_tag(probe: Probe<'_>) {
    for round in 0..10 {
        let text = format!("image {round}");
        probe.put(Image::new("a", &text).tags(&["v1"]));
        let outcomes = all_at_once(|number| {
            if number == 0 {
                let immutable = |tag: &oci::Tag| tag.as_str().starts_with("keep");
                return probe.0.delete_manifest(&name("a"), &digest(&text), &immutable, "user:bob", Instant(2)).is_ok();
            }
            let write =
                super::super::TagWrite { tag: tag(&format!("keep-{round}-{number}")), existing: Existing::Move };
            ok(probe.0.set_tag(&name("a"), &write, &digest(&text), "user:ann", Instant(2)))
        });
        // Either it was deleted before any of the others came, or it stays.
        let others = outcomes[1..].iter().any(|set| *set);
        assert_eq!(probe.has_manifest("a", &text), others);
        assert!(outcomes[0] != others);
    }
}
