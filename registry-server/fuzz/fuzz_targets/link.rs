//! Any bytes as a link file of distribution's data directory: a digest and nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::data::import::distribution::parse_link;

fuzz_target!(|data: &[u8]| {
    if let Some(digest) = parse_link(data) {
        assert_eq!(std::str::from_utf8(data).map(str::trim_end), Ok(digest.to_string().as_str()));
    }
});
