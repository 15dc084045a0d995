//! Any bytes as what the page reads of other people's: image configurations and manifests. Steps stay within their bound, and
//! every layer is told at most once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_server::page::document::Document;
use registry_server::page::image::{ImageFacts, MAX_STEPS};

fuzz_target!(|data: &[u8]| {
    let (count, bytes) = data.split_first().unwrap_or((&0, &[]));
    if let Some(facts) = ImageFacts::parse(bytes) {
        let layers = usize::from(*count);
        let steps = facts.steps(layers);
        assert!(steps.len() <= MAX_STEPS.max(layers));
        let mut told: Vec<_> = steps.iter().filter_map(|step| step.layer).collect();
        assert!(told.is_sorted() && told.iter().all(|layer| *layer < layers));
        told.dedup();
        assert_eq!(told.len(), steps.iter().filter(|step| step.layer.is_some()).count());
    }
    if let Some(document) = Document::parse(bytes) {
        let _ = (document.artifact_type(), document.subject(), document.annotations());
    }
});
