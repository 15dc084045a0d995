//! The functions a template may call: Go's own and docker's additions.

use std::cmp::Ordering;

use serde_json::Value;

use super::printf::printf;
use super::value::{kind, show, truth};

/// A function over evaluated arguments; an error is said in words.
type Function = fn(&[Value]) -> Result<Value, String>;

/// THE TABLE of functions.
const FUNCTIONS: &[(&str, Function)] = &[
    ("and", |v| Ok(v.iter().find(|v| !truth(v)).or(v.last()).cloned().unwrap_or(Value::Null))),
    ("or", |v| Ok(v.iter().find(|v| truth(v)).or(v.last()).cloned().unwrap_or(Value::Null))),
    ("not", |v| Ok((!truth(arg(v, 0)?)).into())),
    ("eq", |v| equal(v)),
    ("ne", |v| equal(&v[..v.len().min(2)]).map(|same| Value::Bool(same == Value::Bool(false)))),
    ("lt", |v| ordered(v, Ordering::is_lt)),
    ("le", |v| ordered(v, Ordering::is_le)),
    ("gt", |v| ordered(v, Ordering::is_gt)),
    ("ge", |v| ordered(v, Ordering::is_ge)),
    ("index", index),
    ("slice", slice),
    ("len", |v| length(arg(v, 0)?).map(Value::from)),
    ("print", |v| Ok(print(v).into())),
    ("println", |v| Ok(format!("{}\n", v.iter().map(show).collect::<Vec<_>>().join(" ")).into())),
    ("printf", |v| printf(text(v, 0)?, &v[1..]).map(Value::from)),
    ("json", |v| serde_json::to_string(arg(v, 0)?).map(Value::from).map_err(|error| error.to_string())),
    ("join", join),
    ("split", |v| Ok(text(v, 0)?.split(text(v, 1)?).map(Value::from).collect::<Vec<_>>().into())),
    ("lower", |v| Ok(text(v, 0)?.to_lowercase().into())),
    ("upper", |v| Ok(text(v, 0)?.to_uppercase().into())),
    ("title", |v| Ok(title(text(v, 0)?).into())),
    ("pad", pad),
    ("truncate", |v| Ok(text(v, 0)?.chars().take(count(v, 1)?).collect::<String>().into())),
    ("trim", |v| Ok(text(v, 0)?.trim().into())),
    ("contains", |v| Ok(text(v, 0)?.contains(text(v, 1)?).into())),
    ("replace", |v| Ok(text(v, 0)?.replace(text(v, 1)?, text(v, 2)?).into())),
    ("html", |v| Ok(html(&print(v)).into())),
];

/// Calls the function `name`.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match FUNCTIONS.iter().find(|(known, _)| *known == name) {
        Some((_, function)) => function(arguments).map_err(|message| format!("{name}: {message}")),
        None => {
            let near = crate::near::nearest(name, FUNCTIONS.iter().map(|(known, _)| *known));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            Err(format!("function {name:?} is not defined{hint}"))
        }
    }
}

fn arg(values: &[Value], at: usize) -> Result<&Value, String> {
    values.get(at).ok_or_else(|| format!("argument {} is missing", at + 1))
}

fn text(values: &[Value], at: usize) -> Result<&str, String> {
    let value = arg(values, at)?;
    value.as_str().ok_or_else(|| format!("argument {} is {}, not a string", at + 1, kind(value)))
}

fn count(values: &[Value], at: usize) -> Result<usize, String> {
    let value = arg(values, at)?;
    let whole = value.as_u64().and_then(|count| usize::try_from(count).ok());
    whole.ok_or_else(|| format!("argument {} is {}, not a count", at + 1, kind(value)))
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::String(text) => Ok(text.len()),
        Value::Array(list) => Ok(list.len()),
        Value::Object(map) => Ok(map.len()),
        Value::Null => Ok(0),
        Value::Bool(_) | Value::Number(_) => Err(format!("{} has no length", kind(value))),
    }
}

fn equal(values: &[Value]) -> Result<Value, String> {
    let (first, rest) = values.split_first().ok_or("arguments are missing")?;
    if rest.is_empty() {
        return Err("argument 2 is missing".to_owned());
    }
    let same = |other: &Value| match (first.as_f64(), other.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b).is_eq(),
        _ => first == other,
    };
    Ok(rest.iter().any(same).into())
}

fn ordered(values: &[Value], wanted: fn(Ordering) -> bool) -> Result<Value, String> {
    let (a, b) = (arg(values, 0)?, arg(values, 1)?);
    let order = match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => return Err(format!("{} and {} cannot be ordered", kind(a), kind(b))),
    };
    Ok(wanted(order).into())
}

/// `index x 1 "k"` is `x[1]["k"]`; a map's absent key gives the empty string,
/// since every map that images have holds strings.
fn index(values: &[Value]) -> Result<Value, String> {
    let mut value = arg(values, 0)?.clone();
    for key in &values[1..] {
        value = match (&value, key) {
            (Value::Object(map), Value::String(key)) => map.get(key).cloned().unwrap_or_else(|| Value::from("")),
            (Value::Array(list), Value::Number(number)) => {
                let item = number.as_u64().and_then(|at| list.get(usize::try_from(at).ok()?));
                item.cloned().ok_or_else(|| format!("index {number} is out of range: there are {}", list.len()))?
            }
            (Value::Null, _) => return Err("the value is empty".to_owned()),
            (value, key) => return Err(format!("{} cannot be indexed by {}", kind(value), kind(key))),
        };
    }
    Ok(value)
}

fn slice(values: &[Value]) -> Result<Value, String> {
    let value = arg(values, 0)?;
    let end = length(value)?;
    let from = if values.len() > 1 { count(values, 1)? } else { 0 };
    let to = if values.len() > 2 { count(values, 2)? } else { end };
    let missing = || format!("{from} to {to} is out of range: the length is {end}");
    match value {
        Value::String(text) => text.get(from..to).map(Value::from).ok_or_else(missing),
        Value::Array(list) => list.get(from..to).map(|part| part.to_vec().into()).ok_or_else(missing),
        other => Err(format!("{} cannot be sliced", kind(other))),
    }
}

fn join(values: &[Value]) -> Result<Value, String> {
    let separator = text(values, 1)?;
    match arg(values, 0)? {
        Value::Array(list) => Ok(list.iter().map(show).collect::<Vec<_>>().join(separator).into()),
        Value::Null => Ok("".into()),
        other => Err(format!("argument 1 is {}, not a list", kind(other))),
    }
}

/// Go's `Sprint`: a space between two operands when neither is a string.
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 && !value.is_string() && !values[at - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&show(value));
    }
    out
}

fn title(text: &str) -> String {
    let mut start = true;
    let raise = |c: char| {
        let raised = if start { c.to_uppercase().collect::<String>() } else { c.to_string() };
        start = c.is_whitespace();
        raised
    };
    text.chars().map(raise).collect()
}

fn pad(values: &[Value]) -> Result<Value, String> {
    // The bound keeps a typing error from filling the memory.
    const MAX_PAD: usize = 10_000;
    let text = text(values, 0)?;
    if text.is_empty() {
        return Ok("".into());
    }
    let (before, after) = (count(values, 1)?.min(MAX_PAD), count(values, 2)?.min(MAX_PAD));
    Ok(format!("{:before$}{text}{:after$}", "", "").into())
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}
