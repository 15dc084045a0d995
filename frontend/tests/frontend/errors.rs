//! `testdata/frontend/errors/<case>/{Dockerfile,errors}`: everything that is
//! wrong, at once, from parsing, or else from planning and lowering.

use std::collections::BTreeMap;

use crate::{corpus, lowering};

#[test]
fn errors_of_the_corpus() {
    for case in corpus::cases("errors") {
        let source = corpus::read(&case.join("Dockerfile"));
        let parsed = estiba_frontend::parse(&source);
        let mut findings = parsed.diagnostics;
        if !findings.iter().any(|finding| finding.is_error()) {
            match lowering::lower(&source, lowering::usual_options(), &BTreeMap::new()) {
                Ok((lowered, _)) => findings.extend(lowered.warnings),
                Err(errors) => findings.extend(errors),
            }
        }
        assert!(!findings.is_empty(), "{} has no fault", case.display());
        let found: String = findings.iter().map(|finding| finding.render(&source, false) + "\n\n").collect();
        corpus::golden(&case.join("errors"), &found);
    }
}
