//! index.json of a layout: one name points at one image; what else is there stays as it was, fields that we do not know
//! included.

use std::collections::BTreeMap;
use std::path::Path;

use oci::{Descriptor, media_type};
use serde_json::{Value, json};

use crate::transfer::copy::source::REF_NAME;
use crate::transfer::copy::{CopyError, Which};

/// What every layout says of itself.
pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The descriptor of the image as index.json holds it.
pub(super) fn named(top: &Descriptor, which: &Which) -> Descriptor {
    let mut descriptor = top.clone();
    if let Which::Named(name) = which {
        descriptor.annotations = BTreeMap::from([(REF_NAME.to_owned(), name.clone())]);
    }
    descriptor
}

/// `old` (nothing where there is none) with these descriptors: those of the same name, or without name and of the same
/// digest, give way.
pub(super) fn merged(path: &Path, old: Option<&[u8]>, new: &[Descriptor]) -> Result<Vec<u8>, CopyError> {
    let wrong = |problem: String| CopyError::NoLayout { path: path.to_path_buf(), problem };
    let mut index = match old {
        Some(bytes) => serde_json::from_slice(bytes).map_err(|error| wrong(format!("its index.json: {error}")))?,
        None => json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []}),
    };
    let fields = index.as_object_mut().ok_or_else(|| wrong("its index.json is no object".to_owned()))?;
    let manifests = fields.entry("manifests").or_insert(Value::Array(Vec::new()));
    if manifests.is_null() {
        *manifests = Value::Array(Vec::new());
    }
    let manifests = manifests.as_array_mut().ok_or_else(|| wrong("its index.json lists nothing".to_owned()))?;
    for descriptor in new {
        let name = descriptor.annotations.get(REF_NAME).map(String::as_str);
        manifests.retain(|known| !gives_way(known, name, descriptor));
        manifests.push(serde_json::to_value(descriptor).map_err(|error| wrong(error.to_string()))?);
    }
    serde_json::to_vec(&index).map_err(|error| wrong(error.to_string()))
}

fn gives_way(known: &Value, name: Option<&str>, new: &Descriptor) -> bool {
    let known_name = known["annotations"][REF_NAME].as_str();
    match (known_name, name) {
        (Some(known), Some(name)) => known == name,
        (None, _) => known["digest"].as_str() == Some(&new.digest.to_string()),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::Digest;

    #[test]
    fn one_name_one_image_and_the_rest_stays() {
        let one = |text: &str, name: Option<&str>| {
            let top = Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(text.as_bytes()), 1);
            named(&top, &name.map_or(Which::Only, |name| Which::Named(name.to_owned())))
        };
        let path = Path::new("layout");
        let first = merged(path, None, &[one("a", Some("v1"))]).unwrap();
        let second = merged(path, Some(&first), &[one("b", Some("v1")), one("b", Some("v2")), one("c", None)]).unwrap();
        let third = merged(path, Some(&second), &[one("c", None)]).unwrap();
        assert_eq!(second, third);
        let index: oci::Index = serde_json::from_slice(&third).unwrap();
        let shown: Vec<_> =
            index.manifests.iter().map(|one| one.annotations.get(REF_NAME).map(String::as_str)).collect();
        assert_eq!(shown, [Some("v1"), Some("v2"), None]);
        let kept = merged(path, Some(br#"{"x":1,"manifests":[{"digest":"?","y":2}]}"#), &[one("a", None)]).unwrap();
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        assert_eq!((&kept["x"], &kept["manifests"][0]["y"]), (&json!(1), &json!(2)));
        assert!(merged(path, Some(b"[]"), &[]).is_err());
        assert!(merged(path, Some(br#"{"manifests":7}"#), &[]).is_err());
    }
}
