//! Any `traceparent`: what is read as the caller's trace is what it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::observe::trace::parent;

fuzz_target!(|text: &str| {
    let Some(context) = parent(text) else { return };
    assert!(context.is_valid() && context.is_remote());
    let said = format!("-{}-{}-", context.trace_id(), context.span_id());
    assert_eq!(&text[2..53], said);
});
