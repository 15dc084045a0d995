//! Headers of a registry: challenges, links, ranges. Reading them ends and never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let challenges = remote::parse_challenges([data]);
    assert!(challenges.len() <= 8);
    if let Ok(text) = std::str::from_utf8(data) {
        remote::next_link(text);
        if let Some(range) = remote::ContentRange::parse(text) {
            assert!(range.start <= range.end);
        }
    }
});
