//! Any bytes as a layer, applied to a directory: nothing beside it changes, whatever they say.
#![no_main]

use std::fs;
use std::io::Read;

use libfuzzer_sys::fuzz_target;
use runtime::tree::{ApplyOptions, apply};
use sys::Root;

/// Enough for every shape of archive, little enough for holes not to fill a disk.
const MOST: u64 = 4 << 20;

fuzz_target!(|data: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let (inside, beside) = (dir.path().join("inside"), dir.path().join("beside"));
    fs::create_dir(&inside).expect("a new directory");
    fs::write(&beside, "untouched").expect("a new file");
    let root = Root::open(&inside).expect("the directory is there");
    // Good archives and bad ones alike: only what happens outside counts.
    let _ = apply(data.take(MOST), &root, &ApplyOptions::default());
    assert_eq!(fs::read(&beside).expect("it is still there"), b"untouched");
    let names = fs::read_dir(dir.path()).expect("it is still a directory").count();
    assert_eq!(names, 2, "something was made beside the tree");
    root.empty().expect("whatever was made can be removed");
});
