//! Any text as a configuration: it is taken, or every complaint names a place that is there; what is taken reads back.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use registry_server::config::Config;

fuzz_target!(|input: (&str, &str)| {
    let (text, value) = input;
    let variables = [("ESTIBA_REGISTRY_SERVER_ADDRESS".to_owned(), value.to_owned())];
    match Config::parse(Some((Path::new("r.toml"), text)), variables, &[]) {
        Ok(config) => {
            let shown = config.to_toml();
            let again = Config::parse(Some((Path::new("r.toml"), &shown)), [], &[]);
            assert!(again.is_ok_and(|again| again.to_toml() == shown), "{shown}");
        }
        Err(problems) => {
            assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                assert!(problem.excerpt.lines().count() <= 2, "{problem:?}");
            }
        }
    }
});
