//! Any path: it finds a row or is refused, and what its placeholders hold is never more than a name, a tag, a digest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::route::{Reference, find};

fuzz_target!(|path: &str| {
    for method in [http::Method::GET, http::Method::PUT, http::Method::POST] {
        let Ok((_, parameters)) = find(&method, path) else { continue };
        if let Ok(name) = parameters.repository() {
            assert!(!name.as_str().contains("..") && !name.as_str().contains(['%', '\\', '\0', ' ']));
        }
        if let Ok(Reference::Tag(tag)) = parameters.reference() {
            assert!(!tag.as_str().contains(['/', '\\', '\0', '%']));
        }
        if let Ok(digest) = parameters.digest() {
            assert!(digest.to_string().is_ascii());
        }
    }
});
