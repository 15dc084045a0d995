//! The fields of an address's query and of a form's body: small, and each at most once.

/// Longest body of a form; ours have three short fields.
pub(crate) const FORM_LIMIT: usize = 4096;

/// Fields of a query or form (`application/x-www-form-urlencoded`).
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Fields of a text that is still encoded.
    pub(crate) fn new(encoded: &'a [u8]) -> Self {
        Self(encoded)
    }

    /// The first field of this name, without surrounding blanks; `None` where it is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let (_, value) = url::form_urlencoded::parse(self.0).find(|(key, _)| key == name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }
}

/// A query of these fields, those that are there, with its question mark.
pub(crate) fn encode(fields: &[(&str, Option<&str>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_encoded() {
        let fields = Fields::new(b"q=a%2Fb+c&empty=&q=second&odd=%ff%00");
        assert_eq!(fields.get("q").as_deref(), Some("a/b c"));
        assert_eq!(fields.get("empty"), None);
        assert_eq!(fields.get("absent"), None);
        assert_eq!(fields.get("odd").as_deref(), Some("\u{fffd}\0"));
        assert_eq!(encode(&[("q", Some("a&b")), ("after", None)]), "?q=a%26b");
        assert_eq!(encode(&[("q", None)]), "");
    }
}
