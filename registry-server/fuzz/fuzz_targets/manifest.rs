//! Any bytes as a manifest, with any `Content-Type`: what is accepted can be read by everybody in one way only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::manifest::parse;

fuzz_target!(|data: &[u8]| {
    let (head, bytes) = data.split_at(data.len().min(usize::from(data.first().copied().unwrap_or_default() % 100)));
    let content_type = std::str::from_utf8(head).ok();
    for said in [None, content_type] {
        let Ok(manifest) = parse(bytes, said) else { continue };
        assert!(serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|value| value.is_object()));
        // What it is found to be, it is with that type said aloud.
        assert_eq!(parse(bytes, Some(manifest.media_type)).ok(), Some(manifest));
    }
});
