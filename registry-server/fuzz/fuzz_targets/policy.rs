//! Any policy is compiled or refused by line; every decision names a line of it, and nobody's rights are everybody's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::auth::policy::{Caller, Decision, Policy};
use registry_server::auth::{Action, Anonymous};

fuzz_target!(|input: (&[u8], &str, &str)| {
    let (bytes, user, repository) = input;
    let policy = match Policy::parse(bytes) {
        Ok(policy) => policy,
        Err(reason) => {
            let (line, _) = reason.split_once(':').expect("it starts with a line");
            assert!(line.parse::<usize>().is_ok_and(|line| line >= 1));
            return;
        }
    };
    let Ok(repository) = repository.parse() else { return };
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    let named = Caller { user: Some(user.to_owned()), ..Caller::default() };
    for action in Action::ALL {
        let nobody = policy.explain(&Caller::default(), action, &repository, None, Anonymous::None);
        let somebody = policy.explain(&named, action, &repository, None, Anonymous::None);
        for decision in [nobody, somebody] {
            if let Decision::Allowed(line) | Decision::Denied(line) = decision {
                assert!((1..=lines).contains(&line));
            }
        }
        assert!(!nobody.is_allowed() || somebody.is_allowed() || matches!(somebody, Decision::Denied(_)));
    }
});
