//! Any query is read or refused; what is read holds no control characters, and pages are bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::query::Query;

fuzz_target!(|text: &str| {
    let Ok(query) = Query::parse(text) else { return };
    for name in ["digest", "mount", "from", "digest-algorithm", "tag", "last", "ns"] {
        assert!(query.all(name).all(|value| !value.chars().any(char::is_control)));
        drop(query.one(name).map(|value| value.map(str::parse::<oci::Digest>)));
    }
    assert!(query.page(10, 100).is_ok_and(|page| page <= 100) || query.all("n").next().is_some());
});
