//! Any bytes parse, plan and lower without a panic, and spans lie in the text.
#![no_main]

use estiba_frontend::{Options, Plan, SourceText};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(source) = SourceText::new("Dockerfile", bytes.to_vec()) else { return };
    let parsed = estiba_frontend::parse(&source);
    for finding in &parsed.diagnostics {
        if let Some(span) = finding.span {
            assert!(source.text().get(span.start as usize..span.end as usize).is_some());
        }
        finding.render(&source, true);
    }
    if parsed.has_errors() {
        return;
    }
    if let Ok(plan) = Plan::new(parsed.dockerfile, &source, Options::default())
        && plan.wanted().is_none()
    {
        drop(plan.lower());
    }
});
