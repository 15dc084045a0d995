//! `key=value,key=value`: how `--output` and `--mount` are written.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// The fields of one such option, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Keyed {
    fields: Vec<(String, Option<String>)>,
}

impl Keyed {
    /// Parses a line of comma-separated values; quotes protect commas, as in CSV.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut keyed = Self::default();
        for field in split(text)? {
            match field.split_once('=') {
                Some((key, value)) => keyed.fields.push((key.trim().to_ascii_lowercase(), Some(value.to_owned()))),
                None => keyed.fields.push((field.trim().to_ascii_lowercase(), None)),
            }
        }
        Ok(keyed)
    }

    /// Takes the value of the first of `names` that is there.
    pub(crate) fn take(&mut self, names: &[&str]) -> Option<String> {
        self.take_field(names).map(|value| value.unwrap_or_default())
    }

    /// Takes a switch: a bare key means `true`.
    pub(crate) fn take_switch(&mut self, names: &[&str]) -> Result<Option<bool>> {
        match self.take_field(names) {
            None => Ok(None),
            Some(None) => Ok(Some(true)),
            Some(Some(value)) => match value.as_str() {
                "true" | "1" => Ok(Some(true)),
                "false" | "0" => Ok(Some(false)),
                other => Err(Error::usage(format!("`{}={other}`: expected true or false", names[0]))),
            },
        }
    }

    fn take_field(&mut self, names: &[&str]) -> Option<Option<String>> {
        let at = self.fields.iter().position(|(key, _)| names.contains(&key.as_str()))?;
        Some(self.fields.remove(at).1)
    }

    /// Takes all fields with such keys; a bare key has no value.
    pub(crate) fn take_all(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let (taken, left) = std::mem::take(&mut self.fields).into_iter().partition(|(key, _)| wanted(key));
        self.fields = left;
        let taken: Vec<(String, Option<String>)> = taken;
        taken.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()
    }

    /// Complains about a key that nobody took.
    pub(crate) fn finish(self, what: &str, known: &[&str]) -> Result {
        let Some((key, _)) = self.fields.first() else { return Ok(()) };
        let error = Error::usage(format!("{what}: unknown key `{key}`"));
        Err(match crate::near::nearest(key, known.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("the keys are {}", known.join(", "))),
        })
    }
}

/// An option as a message may show it: of what is none of these keys, no value, since it may be a secret or a part of one.
pub(crate) fn shown(text: &str, harmless: &[&str]) -> String {
    let field = |field: &str| {
        let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
        let is_harmless = harmless.contains(&key.trim().to_ascii_lowercase().as_str());
        match value {
            _ if is_harmless => field.to_owned(),
            Some(_) => format!("{key}=…"),
            None => "…".to_owned(),
        }
    };
    text.split(',').map(field).collect::<Vec<_>>().join(",")
}

fn split(text: &str) -> Result<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => {
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    if quoted {
        return Err(Error::usage(format!("`{}`: a quote is not closed", shown(text, &[]))));
    }
    fields.retain(|field| !field.trim().is_empty());
    Ok(fields)
}

/// `KEY=VALUE`, each.
pub(crate) fn pairs(written: &[String], option: &str) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            Err(Error::usage(format!("{option} {text}: expected KEY=VALUE")))
        } else {
            Ok((key.to_owned(), value.to_owned()))
        }
    };
    written.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_switches_and_quotes() {
        let mut keyed = Keyed::parse("type=local,\"dest=a,b\",ro").unwrap();
        assert_eq!(keyed.take(&["type"]).as_deref(), Some("local"));
        assert_eq!(keyed.take(&["destination", "dest"]).as_deref(), Some("a,b"));
        assert_eq!(keyed.take_switch(&["ro"]).unwrap(), Some(true));
        keyed.finish("--mount", &[]).unwrap();
        assert!(Keyed::parse("\"a").is_err());
        let said = Keyed::parse("type=s3,\"secret_access_key=a,b").unwrap_err();
        assert_eq!(said.message(), "`type=…,\"secret_access_key=…,…`: a quote is not closed");
        assert!(Keyed::parse("typ=x").unwrap().finish("--mount", &["type"]).is_err());
    }
}
