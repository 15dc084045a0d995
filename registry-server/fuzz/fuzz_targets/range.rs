//! A range that is taken lies within the content; one that is announced is not empty.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::range::{self, Wanted};

fuzz_target!(|input: (&str, u64)| {
    let (header, size) = input;
    if let Wanted::Slice(slice) = range::wanted(Some(header), size) {
        assert!(slice.start < slice.end && slice.end <= size);
    }
    if let Some(sent) = range::sent(header) {
        assert!(sent.start < sent.end);
        assert_eq!(range::sent(&format!("{}-{}", sent.start, sent.end - 1)), Some(sent));
    }
});
