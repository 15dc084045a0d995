//! What differs between two results: config, layers, files.

use std::collections::BTreeMap;

use layer::{Entry, Kind};
use oci::{Digest, ImageConfig};
use runtime::tree::view::TreeView;
use serde_json::Value;

use super::Side;
use crate::build::Failure;

/// A place, and what differs there.
type Found = Vec<(String, String)>;

/// Everything that differs. Times after `epoch` are it in the image, and are compared so.
pub(super) fn sides(a: &Side<'_>, b: &Side<'_>, epoch: Option<i64>) -> Result<Found, Failure> {
    let mut found = Vec::new();
    let (first, second) = (a.composed.config.value(), b.composed.config.value());
    if a.composed.config.bytes() == b.composed.config.bytes() {
        return Ok(found);
    }
    json("config", &config(first)?, &config(second)?, &mut found);
    let (left, right) = (&first.rootfs.diff_ids, &second.rootfs.diff_ids);
    if left == right {
        return Ok(found);
    }
    let same = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    let trees = [seen(&a.layers.view(&a.chain)?, epoch)?, seen(&b.layers.view(&b.chain)?, epoch)?];
    let files = files(&trees[0], &trees[1]);
    if files.is_empty() {
        // The same tree by other layers: a file that one step wrote and the next one wrote again, say.
        for at in same..left.len().max(right.len()) {
            let shown = |list: &[oci::DiffId]| list.get(at).map_or_else(|| "none".to_owned(), ToString::to_string);
            if left.get(at) != right.get(at) {
                found.push((format!("layer {}", at + 1), format!("{} ≠ {}", shown(left), shown(right))));
            }
        }
    }
    found.extend(files);
    Ok(found)
}

/// The config without its layers, which are told file by file.
fn config(config: &ImageConfig) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(config)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("rootfs");
    }
    Ok(value)
}

/// Tells the fields that differ.
fn json(place: &str, a: &Value, b: &Value, found: &mut Found) {
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let at = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
                json(&format!("{place}.{name}"), &at(left), &at(right), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (at, (a, b)) in left.iter().zip(right).enumerate() {
                json(&format!("{place}[{at}]"), a, b, found);
            }
        }
        (a, b) if a != b => found.push((place.to_owned(), format!("{a} ≠ {b}"))),
        _ => {}
    }
}

/// Something in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    entry: Entry,
    content: Option<Digest>,
}

fn seen(view: &TreeView, epoch: Option<i64>) -> Result<BTreeMap<Vec<u8>, Seen>, Failure> {
    let mut all = BTreeMap::new();
    view.visit(&view.root(), |path, node| {
        let mut entry = node.entry().clone();
        entry.mtime = epoch.map_or(entry.mtime, |epoch| entry.mtime.min(epoch));
        let content = if entry.kind == Kind::File { Some(view.content(node)?) } else { None };
        if !path.is_empty() {
            all.insert(path.to_vec(), Seen { entry, content });
        }
        Ok::<bool, runtime::tree::view::ViewError>(true)
    })?;
    Ok(all)
}

/// What differs path by path.
fn files(a: &BTreeMap<Vec<u8>, Seen>, b: &BTreeMap<Vec<u8>, Seen>) -> Found {
    let paths: std::collections::BTreeSet<&Vec<u8>> = a.keys().chain(b.keys()).collect();
    let one = |path: &Vec<u8>| {
        let what = match (a.get(path), b.get(path)) {
            (Some(a), Some(b)) => fields(a, b),
            (Some(_), None) => vec!["only in the first build".to_owned()],
            (None, Some(_)) => vec!["only in the second build".to_owned()],
            (None, None) => Vec::new(),
        };
        (!what.is_empty()).then(|| (format!("/{}", String::from_utf8_lossy(path)), what.join(", ")))
    };
    paths.into_iter().filter_map(one).collect()
}

fn fields(a: &Seen, b: &Seen) -> Vec<String> {
    let (left, right) = (&a.entry, &b.entry);
    if left.kind != right.kind {
        return vec![format!("type {:?} ≠ {:?}", left.kind, right.kind)];
    }
    let mut what = Vec::new();
    let mut tell = |name: &str, differs: bool, a: String, b: String| {
        if differs {
            what.push(format!("{name} {a} ≠ {b}"));
        }
    };
    let owner = |entry: &Entry| format!("{}:{}", entry.uid, entry.gid);
    let time = |entry: &Entry| oci::Timestamp::from_unix(entry.mtime, 0).to_string();
    let device = |entry: &Entry| format!("{}:{}", entry.rdev.0, entry.rdev.1);
    let link = |entry: &Entry| String::from_utf8_lossy(&entry.link).into_owned();
    let short = |content: &Option<Digest>| {
        content.as_ref().map(|digest| digest.to_string().chars().take(19).collect()).unwrap_or_default()
    };
    tell("mode", left.mode != right.mode, format!("{:o}", left.mode), format!("{:o}", right.mode));
    tell("owner", owner(left) != owner(right), owner(left), owner(right));
    tell("time", left.mtime != right.mtime, time(left), time(right));
    tell("link", left.link != right.link, link(left), link(right));
    tell("device", left.rdev != right.rdev, device(left), device(right));
    tell("attributes", left.xattrs != right.xattrs, attributes(left), attributes(right));
    tell("size", left.size != right.size, left.size.to_string(), right.size.to_string());
    tell("content", a.content != b.content, short(&a.content), short(&b.content));
    what
}

fn attributes(entry: &Entry) -> String {
    let names: Vec<_> = entry.xattrs.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    format!("[{}]", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(mode: u32, mtime: i64, content: &[u8]) -> Seen {
        let mut entry = Entry::new("f", Kind::File);
        (entry.mode, entry.mtime, entry.size) = (mode, mtime, content.len() as u64);
        Seen { entry, content: Some(Digest::sha256(content)) }
    }

    #[test]
    fn each_field_is_told() {
        let tree = |seen: Seen| BTreeMap::from([(b"f".to_vec(), seen)]);
        let first = tree(file(0o644, 5, b"a"));
        assert!(files(&first, &first).is_empty());
        let found = files(&first, &tree(file(0o600, 6, b"bb")));
        let (place, what) = &found[0];
        assert_eq!(place, "/f");
        for part in
            ["mode 644 ≠ 600", "time 1970-01-01T00:00:05Z ≠ 1970-01-01T00:00:06Z", "size 1 ≠ 2", "content sha256:"]
        {
            assert!(what.contains(part), "{what}");
        }
        assert_eq!(files(&first, &BTreeMap::new())[0].1, "only in the first build");
    }

    #[test]
    fn fields_of_configs_have_places() {
        let mut found = Vec::new();
        let value = |text: &str| serde_json::from_str(text).unwrap();
        json("config", &value(r#"{"a":{"b":[1,2]},"c":1}"#), &value(r#"{"a":{"b":[1,3]}}"#), &mut found);
        assert_eq!(
            found,
            [("config.a.b[1]".to_owned(), "2 ≠ 3".to_owned()), ("config.c".to_owned(), "1 ≠ null".to_owned())]
        );
    }
}
