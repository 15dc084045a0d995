//! SARIF 2.1.0: the form in which forges take findings.

use frontend::{Diagnostic, Edit, SourceText, Span, lint};
use serde_json::{Value, json};

use super::Checked;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// All findings as one run.
pub(super) fn log(checked: &[Checked]) -> Value {
    let results: Vec<Value> =
        checked.iter().flat_map(|one| one.found.iter().map(|found| result(&one.source, found))).collect();
    let rules: Vec<Value> = lint::TABLE.iter().map(rule).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "estiba", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(rule: &lint::Rule) -> Value {
    let mut all = json!({
        "id": rule.name,
        "name": rule.name,
        "shortDescription": { "text": rule.description },
        "help": { "text": rule.page, "markdown": rule.page },
        "defaultConfiguration": { "level": "warning" },
    });
    if let Some(url) = rule.url() {
        all["helpUri"] = json!(url);
    }
    all
}

fn result(source: &SourceText, found: &Diagnostic) -> Value {
    let uri = uri(source.name());
    let mut place = json!({ "artifactLocation": { "uri": uri } });
    if let Some(span) = found.span {
        place["region"] = region(source, span);
    }
    let mut all = json!({
        "ruleId": found.rule,
        "level": if found.is_error() { "error" } else { "warning" },
        "message": { "text": found.to_string() },
        "locations": [{ "physicalLocation": place }],
    });
    // An error of the language has no rule of its own in the list.
    if let Some(index) = lint::TABLE.iter().position(|rule| rule.name == found.rule) {
        all["ruleIndex"] = json!(index);
    }
    let edits: Vec<&Edit> = found.edits.iter().filter(|edit| source.slice(edit.span) == edit.was).collect();
    if !edits.is_empty() {
        let replacements: Vec<Value> = edits
            .iter()
            .map(|edit| json!({ "deletedRegion": region(source, edit.span), "insertedContent": { "text": edit.text } }))
            .collect();
        all["fixes"] = json!([{
            "description": { "text": "a safe change of the text" },
            "artifactChanges": [{ "artifactLocation": { "uri": uri }, "replacements": replacements }],
        }]);
    }
    all
}

fn region(source: &SourceText, span: Span) -> Value {
    let (start, end) = (source.position(span.start), source.position(span.end));
    json!({ "startLine": start.line, "startColumn": start.column, "endLine": end.line, "endColumn": end.column })
}

/// A path as a relative reference: what a URI may not hold is written as its bytes.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(byte as char),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    if path.starts_with('/') { format!("file://{out}") } else { out }
}
