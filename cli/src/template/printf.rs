//! Go's `printf` verbs over JSON values.

use serde_json::Value;

use super::value::show;

/// The widest field: a typing error must not fill the memory.
const MAX_WIDTH: usize = 10_000;

/// Formats `values` as `format` says.
pub(super) fn printf(format: &str, values: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut field = Field::default();
        while let Some(flag) = chars.next_if(|c| "-+ 0#".contains(*c)) {
            match flag {
                '-' => field.left = true,
                '0' => field.zeros = true,
                '+' => field.plus = true,
                _ => {}
            }
        }
        field.width = number(&mut chars).unwrap_or(0).min(MAX_WIDTH);
        if chars.next_if_eq(&'.').is_some() {
            field.precision = Some(number(&mut chars).unwrap_or(0).min(MAX_WIDTH));
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                Some(value) => out.push_str(&field.pad(&field.verb(verb, value))),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
            None => out.push_str("%!(NOVERB)"),
        }
    }
    let extra: Vec<_> = values.map(show).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(out)
}

fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut value: Option<usize> = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        value = Some(value.unwrap_or(0).saturating_mul(10).saturating_add(digit as usize));
    }
    value
}

/// The flags of one `%…`.
#[derive(Default)]
struct Field {
    left: bool,
    zeros: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

impl Field {
    fn verb(&self, verb: char, value: &Value) -> String {
        match (verb, value) {
            ('s' | 'v', value) => self.cut(show(value)),
            ('q', value) => format!("{:?}", self.cut(show(value))),
            ('d', Value::Number(number)) if !number.is_f64() => self.sign(number.as_f64(), number.to_string()),
            ('x', Value::Number(number)) if number.is_u64() => format!("{:x}", number.as_u64().unwrap_or(0)),
            ('x', Value::String(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            ('X', Value::Number(number)) if number.is_u64() => format!("{:X}", number.as_u64().unwrap_or(0)),
            ('o', Value::Number(number)) if number.is_u64() => format!("{:o}", number.as_u64().unwrap_or(0)),
            ('c', Value::Number(number)) => self.character(number.as_u64()),
            ('t', Value::Bool(value)) => value.to_string(),
            ('f' | 'F', Value::Number(number)) => {
                let number = number.as_f64();
                self.sign(number, format!("{:.*}", self.precision.unwrap_or(6), number.unwrap_or(0.0)))
            }
            ('e', Value::Number(number)) => format!("{:e}", number.as_f64().unwrap_or(0.0)),
            ('g', Value::Number(number)) => number.to_string(),
            ('T', value) => super::value::kind(value).to_owned(),
            (verb, value) => format!("%!{verb}({})", show(value)),
        }
    }

    fn character(&self, code: Option<u64>) -> String {
        let code = code.and_then(|code| u32::try_from(code).ok());
        code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER).to_string()
    }

    fn sign(&self, number: Option<f64>, shown: String) -> String {
        if self.plus && number.is_some_and(|number| number >= 0.0) { format!("+{shown}") } else { shown }
    }

    fn cut(&self, text: String) -> String {
        match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text,
        }
    }

    fn pad(&self, text: &str) -> String {
        let width = self.width;
        match (self.left, self.zeros) {
            (true, _) => format!("{text:<width$}"),
            (false, true) if text.starts_with(['-', '+']) => {
                format!("{}{:0>rest$}", &text[..1], &text[1..], rest = width.saturating_sub(1))
            }
            (false, true) => format!("{text:0>width$}"),
            (false, false) => format!("{text:>width$}"),
        }
    }
}
