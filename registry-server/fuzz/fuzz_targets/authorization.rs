//! Any `Authorization` is read or refused; a name or password that is read holds no control characters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::auth::Credentials;

fuzz_target!(|header: &str| {
    match Credentials::parse(header) {
        Ok(Credentials::Basic { name, password }) => {
            assert!(!name.contains(':') && !(name.is_empty() && password.is_empty()));
            assert!(!name.chars().chain(password.chars()).any(char::is_control));
        }
        Ok(Credentials::Bearer(token)) => assert!(token.is_ascii() && !token.contains(['"', ' ', ','])),
        Ok(Credentials::None) | Err(_) => {}
    }
});
