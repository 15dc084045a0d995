//! What Go's types say and JSON's do not.

use serde_json::Value;

/// Fields that hold a map in Go: an absent key is no mistake, and an empty
/// one prints as `map[]`.
const MAPS: &[&str] =
    &["Labels", "Annotations", "Attributes", "ExposedPorts", "Networks", "Options", "Volumes", "annotations", "labels"];

/// Fields that hold a pointer in Go: an absent one prints as `<nil>`.
const POINTERS: &[&str] = &["Healthcheck", "Health", "Descriptor", "Platform"];

/// The value of `name` in `value`, which was itself reached as `parent`.
///
/// # Errors
/// What is wrong, in words, when there is no such field.
pub(super) fn field(value: &Value, parent: &str, name: &str) -> Result<Value, String> {
    match value {
        Value::Object(map) => match map.get(name) {
            Some(Value::Null) => Ok(empty(name)),
            Some(found) => Ok(found.clone()),
            None if MAPS.contains(&parent) => Ok(Value::Null),
            None if POINTERS.contains(&name) => Ok(empty(name)),
            None => Err(unknown_field(map, name)),
        },
        Value::Null => Err(format!("nothing to take `.{name}` from: the value is empty")),
        other => Err(format!("`.{name}` of {}, which has no fields", kind(other))),
    }
}

fn unknown_field(map: &serde_json::Map<String, Value>, name: &str) -> String {
    match crate::near::nearest(name, map.keys().map(String::as_str)) {
        Some(near) => format!("no field `.{name}`; did you mean `.{near}`?"),
        None => {
            let all: Vec<_> = map.keys().map(|key| format!(".{key}")).collect();
            format!("no field `.{name}`; there are {}", all.join(" "))
        }
    }
}

/// How a null field looks to a template: as Go's zero value of its type.
fn empty(name: &str) -> Value {
    if MAPS.contains(&name) {
        Value::Object(serde_json::Map::new())
    } else if POINTERS.contains(&name) {
        Value::String("<nil>".to_owned())
    } else {
        Value::Array(Vec::new())
    }
}

/// A word for the type of a value, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Go's truth: neither empty nor zero.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty() && text != "<nil>",
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// What `{{.}}` prints: Go's `%v`.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let items: Vec<_> = list.iter().map(show).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let mut items: Vec<_> = map.iter().collect();
            items.sort_by_key(|(key, _)| *key);
            let items: Vec<_> = items.into_iter().map(|(key, value)| format!("{key}:{}", show(value))).collect();
            format!("map[{}]", items.join(" "))
        }
    }
}
