//! Properties: nothing panics, and every span lies in its text.

use std::collections::BTreeMap;

use estiba_frontend::{Diagnostic, Place, SourceText, Span};
use proptest::prelude::*;

use crate::lowering::{lower, usual_options};

fn check_span(source: &SourceText, span: Span) {
    let text = source.text();
    assert!(span.start <= span.end && span.end as usize <= text.len(), "{span:?} of {}", text.len());
    assert!(text.is_char_boundary(span.start as usize) && text.is_char_boundary(span.end as usize), "{span:?}");
}

fn check_place(source: &SourceText, place: &Place) {
    check_span(source, place.span);
    check_span(source, place.keyword);
    assert!(place.lines.0 >= 1 && place.lines.0 <= place.lines.1 && place.lines.1 as usize <= source.line_count());
}

fn check_findings(source: &SourceText, findings: &[Diagnostic]) {
    for finding in findings {
        if let Some(span) = finding.span {
            check_span(source, span);
        }
        finding.render(source, true);
    }
}

/// Parses, checks every span, and lowers what has no errors.
fn survive(text: &str) {
    let Ok(source) = SourceText::new("Dockerfile", text.as_bytes().to_vec()) else { return };
    let parsed = estiba_frontend::parse(&source);
    check_findings(&source, &parsed.diagnostics);
    for stage in &parsed.dockerfile.stages {
        check_place(&source, &stage.place);
        stage.body.iter().for_each(|statement| check_place(&source, &statement.place));
    }
    if !parsed.has_errors() {
        match lower(&source, usual_options(), &BTreeMap::new()) {
            Ok((lowered, _)) => check_findings(&source, &lowered.warnings),
            Err(errors) => check_findings(&source, &errors),
        }
    }
}

/// Pieces from which files that are nearly right are made.
const PIECES: [&str; 64] = [
    "FROM ",
    "a",
    "scratch",
    " AS ",
    "b",
    "\n",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "A=1 ",
    "$A",
    "${A:-",
    "}",
    "\\\n",
    "`\n",
    "# c\n",
    "# escape=`\n",
    " ",
    "\t",
    "\r\n",
    "[\"x\"]",
    "[",
    "\"",
    "'",
    "--from=0 ",
    "--from=b ",
    "--mount=type=cache,target=/x ",
    "--link ",
    "<<EOF",
    "EOF\n",
    "<<-E",
    "E\n",
    "ONBUILD ",
    "HEALTHCHECK ",
    "CMD ",
    "NONE",
    "--interval=1s ",
    "ARG ",
    "LABEL ",
    "EXPOSE ",
    "1-3/udp",
    "USER ",
    "WORKDIR ",
    "/w/",
    "../",
    "VOLUME ",
    "SHELL ",
    "STOPSIGNAL ",
    "9",
    "MAINTAINER ",
    "é",
    "/./",
    "--parents ",
    "--chown=1:2 ",
    "--chmod=u+x ",
    "https://h/x.git#a:b ",
    "https://h/x ",
    "*",
    "=",
    "#!/bin/sh\n",
    "\u{feff}",
    "--",
    "@sha256:",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn files_of_pieces(pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..40)) {
        survive(&pieces.concat());
        survive(&format!("FROM a AS x\n{}", pieces.concat()));
    }

    #[test]
    fn any_text(text in "(?s).{0,200}") {
        survive(&text);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(source) = SourceText::new("Dockerfile", bytes) {
            survive(source.text());
        }
    }

    /// Line endings do not change what is meant.
    #[test]
    fn crlf_is_lf(lines in proptest::collection::vec("[A-Z]{3,6} [a-z= $/]{0,12}( \\\\)?", 0..12)) {
        let texts = |ending: &str| {
            let text = format!("FROM a{ending}{}{ending}", lines.join(ending));
            let source = SourceText::new("Dockerfile", text.into_bytes()).unwrap();
            let parsed = estiba_frontend::parse(&source);
            let body = parsed.dockerfile.stages.into_iter().flat_map(|stage| stage.body);
            body.map(|statement| statement.place.text).collect::<Vec<_>>()
        };
        prop_assert_eq!(texts("\n"), texts("\r\n"));
    }
}

#[test]
fn the_corpora_cut_anywhere() {
    for corpus in ["lower", "errors"] {
        for case in crate::corpus::cases(corpus) {
            let text = crate::corpus::read(&case.join("Dockerfile")).text().to_owned();
            for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
                survive(&text[..end]);
            }
        }
    }
}
