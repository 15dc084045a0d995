//! `registries.conf`: reading it ends and never panics, and a prefix takes names of its own host alone.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use remote::hosts::RegistriesConf;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut conf = RegistriesConf::default();
    if conf.add(Path::new("registries.conf"), text).is_err() {
        return;
    }
    for name in ["docker.io/library/a:b", "r.example/a/b/c:d", "localhost:5000/x", "[::1]:5000/x"] {
        let Ok(reference) = name.parse() else { continue };
        if let Some((prefix, section)) = conf.section(&reference) {
            assert!(name.starts_with(prefix) || prefix.starts_with("*."));
            assert!(section.location.is_empty() || !section.location.contains("://"));
        }
    }
    // A second reading adds nothing.
    let before = conf.clone();
    assert!(conf.add(Path::new("registries.conf"), text).is_ok());
    assert_eq!(conf.sections, before.sections);
});
