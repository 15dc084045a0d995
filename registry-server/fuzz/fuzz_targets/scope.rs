//! Any wish is read; what it comes to is bounded, and every right in it was asked for by its word.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::auth::{Action, scope};

fuzz_target!(|texts: Vec<&str>| {
    let grant = scope::parse(texts.iter().copied());
    assert!(grant.scopes.len() <= 64);
    for scope in &grant.scopes {
        assert!(!scope.actions.contains(&Action::Update));
        assert!(texts.iter().any(|text| text.contains(scope.repository.as_str())));
    }
    assert!(!grant.catalog || texts.iter().any(|text| text.contains("registry") && text.contains("catalog")));
});
