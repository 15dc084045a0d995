//! In-toto statements: of what, and what is said. Specification: in-toto attestation framework, statement v1.

use layer::Kind;
use oci::{Digest, Platform};
use runtime::tree::view::{TreeView, ViewError};
use serde_json::{Value, json};

use super::{digest_set, purl};

/// The type of all of them.
const TYPE: &str = "https://in-toto.io/Statement/v1";
/// Files of an output that are named one by one.
const MAX_SUBJECTS: usize = 100_000;

/// What an image is called: package URLs of its names, or as BuildKit calls one without.
pub(super) fn names(tags: &[String], platform: &Platform) -> Vec<String> {
    match tags.is_empty() {
        true => vec!["_".to_owned()],
        false => tags.iter().map(|tag| purl::of_image(tag, Some(platform))).collect(),
    }
}

/// A statement of an image.
pub(super) fn of_image(kind: &str, predicate: Value, names: &[String], image: &Digest) -> Value {
    let subjects: Vec<Value> = names.iter().map(|name| json!({ "name": name, "digest": digest_set(image) })).collect();
    of(kind, predicate, &subjects)
}

/// A statement.
pub(super) fn of(kind: &str, predicate: Value, subjects: &[Value]) -> Value {
    json!({ "_type": TYPE, "predicateType": kind, "subject": subjects, "predicate": predicate })
}

/// The files of a tree.
pub(super) fn subjects_of(view: &TreeView) -> Result<Vec<Value>, ViewError> {
    let mut all = Vec::new();
    view.visit(&view.root(), |path, node| {
        if node.entry().kind == Kind::File && all.len() < MAX_SUBJECTS {
            all.push(json!({ "name": String::from_utf8_lossy(path), "digest": digest_set(&view.content(node)?) }));
        }
        Ok::<bool, ViewError>(true)
    })?;
    Ok(all)
}
