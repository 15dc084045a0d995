//! Large blobs: many ranges, and hosts that know none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fixtures::{Answer, Asked, Body, Host, Made, Shelf, sha256};

use crate::rig::{Rig, diff_ids, is_root, large};

const SIZE: usize = 24 << 20;

fn pull_from(
    answer: impl Fn(&Shelf, &str, &Asked) -> Option<Answer> + Send + Sync + 'static,
) -> (Rig, Host, Made, String) {
    let (rig, shelf, made) = (Rig::new(), Arc::new(Shelf::default()), large(SIZE));
    shelf.publish("latest", &made).unwrap();
    let digest = format!("sha256:{}", sha256(&made.layers[0].1).unwrap());
    let own = digest.clone();
    let host = Host::start(move |asked| {
        let special = if asked.is("GET", &own) { answer(&shelf, &own, asked) } else { None };
        special.unwrap_or_else(|| shelf.answer(asked))
    })
    .unwrap();
    rig.pull(&format!("{}/app", host.address())).unwrap();
    (rig, host, made, digest)
}

fn assert_whole(rig: &Rig, made: &Made) {
    let tree = rig.tree(&diff_ids(made)[0]);
    assert!(std::fs::read(tree.join("noise")).unwrap() == crate::rig::noise(SIZE));
    assert!(std::fs::read_dir(rig.store.layout().downloads()).unwrap().next().is_none());
}

fn ranges(host: &Host, digest: &str) -> Vec<String> {
    host.asked().iter().filter(|asked| asked.is("GET", digest)).map(|asked| asked.header("range").to_owned()).collect()
}

#[test]
fn ranges_side_by_side_make_the_blob() {
    if !is_root() {
        return;
    }
    let (rig, host, made, digest) = pull_from(|_, _, _| None);
    assert_whole(&rig, &made);
    let ranges = ranges(&host, &digest);
    assert_eq!(ranges.len(), 13, "{ranges:?}");
    assert!(ranges.iter().all(|range| !range.is_empty()));
}

#[test]
fn a_host_without_ranges_is_asked_once() {
    if !is_root() {
        return;
    }
    let (rig, host, made, digest) = pull_from(|shelf, digest, _| Some(Answer::new(200, shelf.held(digest)?)));
    assert_whole(&rig, &made);
    assert_eq!(ranges(&host, &digest).len(), 1);
}

#[test]
fn a_host_that_gets_ranges_wrong_is_asked_for_all_the_rest() {
    if !is_root() {
        return;
    }
    let (rig, host, made, digest) = pull_from(|_, _, asked| {
        // In the fifth window it answers about another one; a question without end it understands.
        let range = asked.header("range");
        let wrong = range.starts_with("bytes=8388608-") && !range.ends_with('-');
        wrong.then(|| Answer::new(206, vec![0; 4 << 20]).header("Content-Range", format!("bytes 0-4194303/{SIZE}")))
    });
    assert_whole(&rig, &made);
    assert!(ranges(&host, &digest).iter().any(|range| range == "bytes=8388608-"));
    let steps = rig.steps();
    assert!(steps.iter().any(|step| matches!(step, builder::transfer::Step::Retried { .. })));
}

#[test]
fn connections_that_break_in_windows_are_mended() {
    if !is_root() {
        return;
    }
    let broken = AtomicUsize::new(0);
    let (rig, host, made, digest) = pull_from(move |shelf, digest, asked| {
        let (start, end) = asked.header("range").strip_prefix("bytes=")?.split_once('-')?;
        let (start, end) = (start.parse::<usize>().ok()?, end.parse::<usize>().ok()?);
        if broken.fetch_add(1, Ordering::Relaxed) >= 4 {
            return None;
        }
        let bytes = shelf.held(digest)?;
        let length = u64::try_from(end + 1 - start).unwrap();
        let total = bytes.len();
        let body = Body::Announced(length, bytes[start..start + 100_000].to_vec());
        Some(Answer::with(206, body).header("Content-Range", format!("bytes {start}-{end}/{total}")))
    });
    assert_whole(&rig, &made);
    assert!(ranges(&host, &digest).len() > 13);
}

#[test]
fn a_host_that_refuses_ranges_is_asked_without() {
    if !is_root() {
        return;
    }
    for status in [416, 400, 501] {
        let (rig, host, made, digest) =
            pull_from(move |_, _, asked| (!asked.header("range").is_empty()).then(|| Answer::new(status, "")));
        assert_whole(&rig, &made);
        assert_eq!(ranges(&host, &digest).last().unwrap(), "");
    }
}
