//! Any file is read or refused by line, and reading costs no hash.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::auth::htpasswd::Htpasswd;

fuzz_target!(|bytes: &[u8]| {
    if let Err(reason) = Htpasswd::parse(bytes) {
        let (line, _) = reason.split_once(':').expect("it starts with a line");
        assert!(line.parse::<usize>().is_ok_and(|line| line >= 1));
    }
});
