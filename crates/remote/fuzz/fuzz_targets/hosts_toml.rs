//! `hosts.toml`: reading it ends and never panics, and gives addresses of http and https without logins alone.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use remote::hosts::HostsToml;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(file) = HostsToml::parse(Path::new("/c/hosts.toml"), text) else { return };
    for host in file.hosts.iter().chain([&file.server]) {
        let Some(address) = &host.address else { continue };
        assert!(matches!(address.scheme(), "http" | "https") && address.host_str().is_some());
        assert!(address.username().is_empty() && address.password().is_none() && address.query().is_none());
    }
    assert!(file.hosts.iter().all(|host| host.address.is_some()));
});
